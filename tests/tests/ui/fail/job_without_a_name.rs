use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, pulpo::Job)]
struct SendEmail {
    to: String,
}

#[derive(Serialize, Deserialize, pulpo::Job)]
#[job(queue = "mail")]
struct SendInvoice {
    to: String,
}

#[derive(Serialize, Deserialize, pulpo::Job)]
#[job = "send_parcel"]
struct SendParcel {
    to: String,
}

fn main() {}

//~ pulpo::Job => expected the name of the job beside `#[derive(pulpo::Job)]`: #[job("its_name")]
//~ pulpo::Job => expected the request type as the first argument: #[job("its_name")]
//~ #[job = "send_parcel"] => expected the name of the job in parentheses, #[job("its_name")], got `job = "send_parcel"`

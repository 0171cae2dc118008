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

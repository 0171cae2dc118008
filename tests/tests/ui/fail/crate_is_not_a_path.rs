use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email", crate = "pulpo")]
fn send_email(_: SendEmail) {}

fn main() {}

//~ "pulpo" => expected the path of the crate pulpo such as `::pulpo`, without quotes, got `"pulpo"`

use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email")]
const unsafe extern "C" fn send_email(_: SendEmail) {}

fn main() {}

//~ const => remove `const`
//~ unsafe => remove `unsafe`, and put what needs it into an `unsafe` block
//~ extern "C" => remove `extern "C"`

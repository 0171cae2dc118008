use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email", queue = "e-mail:out")]
fn send_email(_: SendEmail) {}

fn main() {}

//~ "e-mail:out" => expected a queue of ASCII letters, digits and `-_./+;$()`, got ':' in "e-mail:out"

use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email", queue = , priority, ttr: "60s", , 5)]
fn send_email(_: SendEmail) {}

fn main() {}

//~ , => expected an argument before this comma
//~ queue = => write `queue = "mail"`
//~ priority => expected `priority = 10`, got `priority`
//~ ttr: "60s" => expected `ttr = "60s"`, got `ttr : "60s"`
//~ 5 => expected an argument such as `queue = "mail"`, got `5`

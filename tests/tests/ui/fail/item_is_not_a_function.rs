use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email")]
pub struct Email;

#[pulpo::handler("send_email")]
impl Email {}

#[pulpo::handler("send_email")]
mod mail {}

fn main() {}

//~ struct Email => expected a function: #[pulpo::handler] goes on the `fn` that does the job, got `struct Email`
//~ impl Email => expected a function: #[pulpo::handler] goes on the `fn` that does the job, got `impl Email`
//~ mod mail => expected a function: #[pulpo::handler] goes on the `fn` that does the job, got `mod mail`

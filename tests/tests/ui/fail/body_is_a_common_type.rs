use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_text")]
fn send_text(_: String) {}

#[pulpo::handler("send_emails")]
fn send_emails(_: Vec<SendEmail>) {}

#[pulpo::handler("send_pair")]
fn send_pair(_: (String, u32)) {}

#[pulpo::handler("send_nothing")]
fn send_nothing(_: ()) {}

fn main() {}

//~ String => wrap it in one, `struct Name(String);`
//~ Vec<SendEmail> => wrap it in one, `struct Name(Vec<SendEmail>);`, or add `batch = 100` if the handler takes several jobs at once
//~ (String, u32) => wrap it in one, `struct Name((String, u32));`
//~ () => write `struct Name;`

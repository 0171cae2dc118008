use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send email", prioritty = 10, ttr = 60, queue = "-mail")]
async fn send_email(_: &SendEmail, _: u32) -> pulpo::Outcome {
    Ok(())
}

fn main() {}

//~ "send email" => expected a request type of ASCII letters, digits and `-_.:/+;$()`, got ' ' in "send email"
//~ prioritty => did you mean `priority`?
//~ 60 => write "60s" for seconds
//~ "-mail" => expected a queue that does not begin with a hyphen, got `-mail`
//~ &SendEmail => write `SendEmail`

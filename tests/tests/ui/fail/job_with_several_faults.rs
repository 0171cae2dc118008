use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, pulpo::Job)]
#[job("send email", quee = "mail", ttr = 60)]
#[job("send_email")]
struct SendEmail<'a> {
    to: &'a str,
}

fn main() {}

//~ #[job("send_email")] => write all arguments into the first
//~ <'a> => expected a job without generics: one request type has one body type, which owns its content
//~ "send email" => expected a request type of ASCII letters, digits and `-_.:/+;$()`, got ' ' in "send email"
//~ quee => did you mean `queue`?
//~ 60 => write "60s" for seconds

use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Mail;

#[pulpo::handler("mails")]
fn mails(_: Option<Mail>) {}

#[pulpo::handler("mail")]
async fn mail(_: crate::Mail) {}

#[derive(Serialize, Deserialize)]
struct Line;

#[pulpo::handler("lines")]
fn lines(_: [Line; 2]) {}

#[pulpo::handler("line", batch = 100)]
fn line(_: Vec<Line>) {}

fn main() {
    let _ = pulpo::publish(Mail);
    let _ = pulpo::publish(Line);
}

//~ Option<Mail> => wrap it in one
//~ [Line; 2] => wrap it in one

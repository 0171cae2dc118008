use std::error::Error;

use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email")]
fn send_email(_: SendEmail) -> Result<(), Box<dyn Error>> {
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct Line(String);

#[pulpo::handler("line", batch = 10)]
fn lines(_: Vec<Line>) -> Result<(), Box<dyn Error + Send>> {
    Ok(())
}

fn main() {}

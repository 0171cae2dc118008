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

//~ Result<(), Box<dyn Error>> => expected `()` or `Result<(), E>`, where `E` is a std error that is `Send + Sync`, `Box<dyn Error + Send + Sync>`, `anyhow::Error` or `pulpo::Failure`
//~ Result<(), Box<dyn Error + Send>> => expected `()` or `Result<(), E>` for all messages, or `Vec<pulpo::Outcome>` or `Result<Vec<pulpo::Outcome>, E>` for each

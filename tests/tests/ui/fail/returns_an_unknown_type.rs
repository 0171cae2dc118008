#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

#[pulpo::handler("ping")]
fn ping(_: Ping) -> Result<(), MailError> {
    Ok(())
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Pong;

#[pulpo::handler("pong")]
fn pong(_: Pong) -> Outcome {
    Ok(())
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Pang;

#[pulpo::handler("pang")]
async fn pang(_: Pang) -> Outcom {
    Ok(())
}

fn main() {}

//~ MailError => help: you might be missing a type parameter
//~ Outcome => not found in this scope
//~ Outcom => not found in this scope

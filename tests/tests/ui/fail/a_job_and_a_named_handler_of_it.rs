#[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
#[job("send")]
pub struct First;

#[pulpo::handler("other")]
fn first(_: First) {}

fn main() {}

//~ First

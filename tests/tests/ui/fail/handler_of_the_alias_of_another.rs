#[derive(serde::Serialize, serde::Deserialize)]
struct First;

#[derive(serde::Serialize, serde::Deserialize)]
struct Second;

#[pulpo::handler("send")]
fn first(_: First) {}

#[pulpo::handler("resend", alias = "send")]
fn second(_: Second) {}

fn main() {}

//~ "send" => rename_one_of_the_two

#[derive(serde::Serialize, serde::Deserialize)]
struct First;

#[derive(serde::Serialize, serde::Deserialize)]
struct Second;

#[derive(serde::Serialize, serde::Deserialize)]
struct Third;

#[pulpo::handler("send")]
fn first(_: First) {}

#[pulpo::handler("send")]
fn second(_: Second) {}

#[pulpo::handler("send")]
fn third(_: Third) {}

fn main() {}

//~ "send" => rename_one_of_the_two

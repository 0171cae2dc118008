#[derive(serde::Serialize, serde::Deserialize)]
struct First;

#[derive(serde::Serialize, serde::Deserialize)]
struct Second;

#[pulpo::handler("a", alias = "send")]
fn first(_: First) {}

#[pulpo::handler("b", alias = "c", alias = "send")]
fn second(_: Second) {}

fn main() {}

//~ "send" => rename_one_of_the_two

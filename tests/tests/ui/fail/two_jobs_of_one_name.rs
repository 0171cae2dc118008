#[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
#[job("send")]
pub struct First;

#[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
#[job("send")]
pub struct Second;

fn main() {}

//~ "send" => rename_one_of_the_two

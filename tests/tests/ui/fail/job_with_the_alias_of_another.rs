#[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
#[job("send", alias = "old")]
pub struct First;

#[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
#[job("old")]
pub struct Second;

fn main() {}

//~ "old" => rename_one_of_the_two

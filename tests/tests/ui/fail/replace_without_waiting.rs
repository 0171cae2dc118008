#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("a", unique, on_duplicate = "replace")]
fn job_0(_: Job0) {}

#[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
#[job("b", unique, unique_for = "1h", on_duplicate = "replace")]
struct Job1;

fn main() {}

//~ "replace" => expected `unique_for = "waiting"` beside "replace"
//~ "replace" => expected `unique_for = "waiting"` beside "replace"

#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("a", alias = "")]
fn job_0(_: Job0) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("b", alias = "x y")]
fn job_1(_: Job1) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job2;

#[pulpo::handler("c", alias = "c")]
fn job_2(_: Job2) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job3;

#[pulpo::handler("d", alias = "x", alias = "x")]
fn job_3(_: Job3) {}

fn main() {}

//~ "" => expected a request type of 1 to 200 characters, got an empty string
//~ "x y" => expected a request type of ASCII letters, digits and `-_.:/+;$()`, got ' ' in "x y"
//~ "c" => remove it
//~ "x" => remove it

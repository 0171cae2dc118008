#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("a", queue = "")]
fn job_0(_: Job0) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("b", queue = "-mail")]
fn job_1(_: Job1) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job2;

#[pulpo::handler("c", queue = "e mail")]
fn job_2(_: Job2) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job3;

#[pulpo::handler("d", queue = "postämter")]
fn job_3(_: Job3) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job4;

#[pulpo::handler("e", queue = "qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq")]
fn job_4(_: Job4) {}

fn main() {}

//~ "" => expected a queue of 1 to 200 characters, got an empty string
//~ "-mail" => expected a queue that does not begin with a hyphen, got `-mail`
//~ "e mail" => expected a queue of ASCII letters, digits and `-_./+;$()`, got ' ' in "e mail"
//~ "postämter" => expected a queue of ASCII letters, digits and `-_./+;$()`, got 'ä' in "postämter"
//~ "qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq" => expected a queue of at most 200 characters, got 201

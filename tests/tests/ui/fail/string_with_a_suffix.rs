#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("a", queue = "mail"x)]
fn job_0(_: Job0) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("b"x)]
fn job_1(_: Job1) {}

fn main() {}

//~ "mail"x => expected a queue in a string such as "mail", got `"mail"x`
//~ "b"x => write "b"

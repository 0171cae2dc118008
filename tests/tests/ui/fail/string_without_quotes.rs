#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("a", queue = mail)]
fn job_0(_: Job0) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("b", alias = old_name)]
fn job_1(_: Job1) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job2;

#[pulpo::handler("c", queue = 'm')]
fn job_2(_: Job2) {}

fn main() {}

//~ mail => write "mail"
//~ old_name => write "old_name"
//~ 'm' => expected a queue in a string such as "mail", got `'m'`

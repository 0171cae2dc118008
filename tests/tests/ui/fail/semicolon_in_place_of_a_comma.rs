#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("a"; queue = "mail")]
fn job_0(_: Job0) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("b", queue = "mail"; priority = 5)]
fn job_1(_: Job1) {}

fn main() {}

//~ ; => expected a comma between two arguments, got `;`
//~ ; => expected a comma between two arguments, got `;`

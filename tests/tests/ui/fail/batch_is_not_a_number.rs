#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("job_0", batch = "5")]
fn job_0(_: Vec<Job0>) {}

fn main() {}

//~ "5" => write 5 without the quotes

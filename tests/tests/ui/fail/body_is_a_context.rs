#[pulpo::handler("job_0")]
fn job_0(_: &pulpo::Context) {}

#[pulpo::handler("job_1")]
fn job_1(_: pulpo::Context) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job2;

#[pulpo::handler("job_2")]
fn job_2(_: pulpo::State<u8>, _: Job2) {}

fn main() {}

//~ &pulpo::Context => write it after the body
//~ pulpo::Context => write `&pulpo::Context` after the body
//~ pulpo::State<u8> => write it after the body

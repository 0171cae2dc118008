#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("job_0")]
unsafe fn job_0(_: Job0) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("job_1")]
extern "C" fn job_1(_: Job1) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job2;

#[pulpo::handler("job_2")]
async unsafe fn job_2(_: Job2) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job3;

#[pulpo::handler("job_3")]
const fn job_3(_: Job3) {}

fn main() {}

//~ unsafe => remove `unsafe`, and put what needs it into an `unsafe` block
//~ extern "C" => remove `extern "C"`
//~ unsafe => remove `unsafe`, and put what needs it into an `unsafe` block
//~ const => remove `const`

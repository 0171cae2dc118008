#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("job_0")]
fn job_0(_: Job0, _: &mut pulpo::Context) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("job_1")]
fn job_1(_: Job1, _: &pulpo::State<u8>) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job2;

#[pulpo::handler("job_2")]
fn job_2(_: Job2, _: Option<pulpo::State<u8>>) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job3;

#[pulpo::handler("job_3")]
fn job_3(_: Job3, _: (u8, u8)) {}

fn main() {}

//~ &mut pulpo::Context => expected `&pulpo::Context` or `pulpo::State<T>` after the body
//~ &pulpo::State<u8> => expected `&pulpo::Context` or `pulpo::State<T>` after the body
//~ Option<pulpo::State<u8>> => expected `&pulpo::Context` or `pulpo::State<T>` after the body
//~ (u8, u8) => expected `&pulpo::Context` or `pulpo::State<T>` after the body

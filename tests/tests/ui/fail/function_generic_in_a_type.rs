#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("job_0")]
fn job_0<T>(_: Job0, _: pulpo::State<T>) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("job_1")]
fn job_1<const N: usize>(_: [Job1; N]) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job2;

#[pulpo::handler("job_2")]
fn job_2<'a>(_: Job2, _: &'a pulpo::Context) {}

fn main() {}

//~ <T> => write a handler for each
//~ <const N: usize> => write a handler for each
//~ <'a> => expected a handler without lifetimes: take the body by value, of a type that owns its content

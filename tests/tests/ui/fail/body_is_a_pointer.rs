#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("job_0")]
fn job_0(_: Box<Job0>) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("job_1")]
fn job_1(_: std::sync::Arc<Job1>) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job2;

#[pulpo::handler("job_2")]
fn job_2(_: std::rc::Rc<Job2>) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job3;

#[pulpo::handler("job_3")]
fn job_3(_: &Job3) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job4;

#[pulpo::handler("job_4")]
fn job_4(_: &mut Job4) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job5;

#[pulpo::handler("job_5")]
fn job_5(_: &'static Job5) {}

fn main() {}

//~ Box<Job0> => write `Job0`
//~ std::sync::Arc<Job1> => write `Job1`
//~ std::rc::Rc<Job2> => write `Job2`
//~ &Job3 => write `Job3`
//~ &mut Job4 => write `Job4`
//~ &'static Job5 => write `Job5`

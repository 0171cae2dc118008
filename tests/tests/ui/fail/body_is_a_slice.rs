#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("job_0", batch = 5)]
fn job_0(_: &[Job0]) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("job_1", batch = 5)]
fn job_1(_: &Vec<Job1>) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job2;

#[pulpo::handler("job_2", batch = 5)]
fn job_2(_: Job2) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job3;

#[pulpo::handler("job_3", batch = 5)]
fn job_3(_: [Job3; 5]) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job4;

#[pulpo::handler("job_4", batch = 5)]
fn job_4(_: std::collections::VecDeque<Job4>) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job5;

#[pulpo::handler("job_5", batch = 5)]
fn job_5(_: Box<[Job5]>) {}

#[pulpo::handler("job_6", batch = 5)]
fn job_6(_: Vec<String>) {}

fn main() {}

//~ &[Job0] => write `Vec<Job0>`, spelt out if that is an alias
//~ &Vec<Job1> => write `Vec<Job1>`, spelt out if that is an alias
//~ Job2 => write `Vec<Job2>`, spelt out if that is an alias
//~ [Job3; 5] => write `Vec<Job3>`, spelt out if that is an alias
//~ std::collections::VecDeque<Job4> => write `Vec<Job4>`, spelt out if that is an alias
//~ Box<[Job5]> => write `Vec<Job5>`, spelt out if that is an alias
//~ String => wrap it in one, `struct Name(String);`

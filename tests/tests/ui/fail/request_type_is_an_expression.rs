#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler(NAME)]
fn job_0(_: Job0) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler(jobs::NAME)]
fn job_1(_: Job1) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job2;

#[pulpo::handler(concat!("a", "b"))]
fn job_2(_: Job2) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job3;

#[pulpo::handler(5)]
fn job_3(_: Job3) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job4;

#[pulpo::handler(true)]
fn job_4(_: Job4) {}

fn main() {}

//~ NAME => write "NAME"
//~ jobs::NAME => expected the request type in a string such as "send_email", got `jobs :: NAME`
//~ concat!("a", "b") => expected the request type in a string such as "send_email", got `concat! ("a", "b")`
//~ 5 => expected the request type in a string such as "send_email", got `5`
//~ true => expected the request type in a string such as "send_email", got `true`

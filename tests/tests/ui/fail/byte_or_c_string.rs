#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler(b"a")]
fn job_0(_: Job0) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler(c"b")]
fn job_1(_: Job1) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job2;

#[pulpo::handler("c", queue = b"mail")]
fn job_2(_: Job2) {}

fn main() {}

//~ b"a" => expected the request type in a string such as "send_email", got `b"a"`
//~ c"b" => expected the request type in a string such as "send_email", got `c"b"`
//~ b"mail" => expected a queue in a string such as "mail", got `b"mail"`

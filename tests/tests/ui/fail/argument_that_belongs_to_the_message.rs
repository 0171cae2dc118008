#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("a", expires = "5m")]
fn job_0(_: Job0) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("b", ttl = "5m")]
fn job_1(_: Job1) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job2;

#[pulpo::handler("c", delay = "5m")]
fn job_2(_: Job2) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job3;

#[pulpo::handler("d", header = "x")]
fn job_3(_: Job3) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job4;

#[pulpo::handler("e", run_at = "5m")]
fn job_4(_: Job4) {}

fn main() {}

//~ expires => each message has its own: publish `pulpo::Message::new(body).expiration(…)`
//~ ttl => each message has its own: publish `pulpo::Message::new(body).expiration(…)`
//~ delay => each message has its own: publish `pulpo::Message::new(body).delay(…)`
//~ header => each message has its own: publish `pulpo::Message::new(body).header(name, value)`
//~ run_at => each message has its own: publish `pulpo::Message::new(body).delay(…)`

#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("a", max_retries = 5)]
fn job_0(_: Job0) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("b", retries = 5)]
fn job_1(_: Job1) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job2;

#[pulpo::handler("c", tube = "mail")]
fn job_2(_: Job2) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job3;

#[pulpo::handler("d", lease = "60s")]
fn job_3(_: Job3) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job4;

#[pulpo::handler("e", visibility_timeout = "60s")]
fn job_4(_: Job4) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job5;

#[pulpo::handler("f", retry_delay = "5s")]
fn job_5(_: Job5) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job6;

#[pulpo::handler("g", batch_size = 5)]
fn job_6(_: Job6) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job7;

#[pulpo::handler("h", deadline = "5s")]
fn job_7(_: Job7) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job8;

#[pulpo::handler("i", aliases = "old")]
fn job_8(_: Job8) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job9;

#[pulpo::handler("j", prio = 5)]
fn job_9(_: Job9) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job10;

#[pulpo::handler("k", channel = "mail")]
fn job_10(_: Job10) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job11;

#[pulpo::handler("l", max_wait = "5s")]
fn job_11(_: Job11) {}

fn main() {}

//~ max_retries => write `max_attempts = 5`
//~ retries => write `max_attempts = 5`
//~ tube => write `queue = "mail"`
//~ lease => write `ttr = "60s"`
//~ visibility_timeout => write `ttr = "60s"`
//~ retry_delay => write `backoff = "1s..1h"`
//~ batch_size => write `batch = 100`
//~ deadline => write `timeout = "30s"`
//~ aliases => write `alias = "old_name"`
//~ prio => write `priority = 10`
//~ channel => write `queue = "mail"`
//~ max_wait => write `linger = "2s"`

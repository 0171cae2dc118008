#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("a", timeout = "30 x")]
fn job_0(_: Job0) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("b", ttr = "one minute")]
fn job_1(_: Job1) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job2;

#[pulpo::handler("c", timeout = "")]
fn job_2(_: Job2) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job3;

#[pulpo::handler("d", backoff = "1s..")]
fn job_3(_: Job3) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job4;

#[pulpo::handler("e", backoff = "1s..2s..3s")]
fn job_4(_: Job4) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job5;

#[pulpo::handler("f", timeout = "-5s")]
fn job_5(_: Job5) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job6;

#[pulpo::handler("g", timeout = "1:30")]
fn job_6(_: Job6) {}

fn main() {}

//~ "30 x" => expected a duration in a string such as "30s", got `30 x`: unknown time unit "x", supported units: ns, us/µs, ms, sec, min, hours, days, weeks, months, years (and few variations)
//~ "one minute" => expected a duration in a string such as "30s", got `one minute`: expected number at 0
//~ "" => expected a duration in a string such as "30s", got ``: value was empty
//~ "1s.." => expected a backoff in a string such as "1s..1h", or "5s" if it does not grow, got `1s..`: value was empty
//~ "1s..2s..3s" => expected a backoff in a string such as "1s..1h", or "5s" if it does not grow, got `1s..2s..3s`: invalid character at 2
//~ "-5s" => expected a duration in a string such as "30s", got `-5s`: expected number at 0
//~ "1:30" => expected a duration in a string such as "30s", got `1:30`: invalid character at 1

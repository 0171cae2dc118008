#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("a", retry(max = 5))]
fn job_0(_: Job0) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("b", queue("mail"))]
fn job_1(_: Job1) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job2;

#[pulpo::handler("c", max_attempts(5))]
fn job_2(_: Job2) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job3;

#[pulpo::handler("d", colour(red))]
fn job_3(_: Job3) {}

fn main() {}

//~ retry => write `max_attempts = 5`
//~ queue("mail") => expected `queue = "mail"`, got `queue("mail")`
//~ max_attempts(5) => expected `max_attempts = 5`, got `max_attempts(5)`
//~ colour => unknown argument `colour`: expected one of queue, priority, max_attempts, backoff, ttr, timeout, unique, unique_for, on_duplicate, rate, limit, rate_by, limit_by, batch, linger, cron, every, tz, missed, overlap, alias, crate

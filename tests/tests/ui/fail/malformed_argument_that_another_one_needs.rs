#[derive(serde::Serialize, serde::Deserialize)]
struct Job0 {
    a: u8,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1 {
    a: u8,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job2 {
    a: u8,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job3 {
    a: u8,
}

#[pulpo::handler("a", batch, linger = "2s")]
fn a(jobs: Vec<Job0>) {
    let _ = jobs.iter().map(|job| job.a);
}

#[pulpo::handler("b", unique = "a", unique_for = "waiting", on_duplicate = "replace")]
fn b(job: Job1) {
    let _ = job.a;
}

#[pulpo::handler("c", cron, tz = "UTC", missed = "all")]
fn c(job: Job2) {
    let _ = job.a;
}

#[pulpo::handler("d", every(5), overlap = "allow")]
fn d(job: Job3) {
    let _ = job.a;
}

fn main() {}

//~ batch => expected `batch = 100`
//~ unique = "a" => expected `unique(account_id)`
//~ cron => expected `cron = "0 3 * * MON-FRI"`
//~ every(5) => expected `every = "5m"`

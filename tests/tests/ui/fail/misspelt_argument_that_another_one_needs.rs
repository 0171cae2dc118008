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

#[derive(serde::Serialize, serde::Deserialize)]
struct Job4 {
    a: u8,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job5 {
    a: u8,
}

#[pulpo::handler("a", btach = 5, linger = "2s")]
fn a(jobs: Vec<Job0>) {
    let _ = jobs.iter().map(|job| job.a);
}

#[pulpo::handler("b", uniqe(a), unique_for = "1h")]
fn b(job: Job1) {
    let _ = job.a;
}

#[pulpo::handler("c", unique(a), uniqe_for = "waiting", on_duplicate = "replace")]
fn c(job: Job2) {
    let _ = job.a;
}

#[pulpo::handler("d", crom = "0 3 * * *", tz = "UTC")]
fn d(job: Job3) {
    let _ = job.a;
}

#[pulpo::handler("e", interval = "5m", missed = "all")]
fn e(job: Job4) {
    let _ = job.a;
}

#[pulpo::handler("f", prefetch = 5)]
fn f(job: Job5) {
    let _ = job.a;
}

fn main() {}

//~ btach => did you mean `batch`?
//~ uniqe => did you mean `unique`?
//~ uniqe_for => did you mean `unique_for`?
//~ crom => did you mean `cron`?
//~ interval => write `every = "5m"`
//~ prefetch => write `batch = 100`

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

#[pulpo::handler("a")]
fn a(job: Job0) -> dyn std::error::Error {
    panic!("{}", job.a)
}

#[pulpo::handler("b")]
fn b(job: Job1) -> [u8] {
    panic!("{}", job.a)
}

#[pulpo::handler("c")]
fn c(job: Job2) -> str {
    panic!("{}", job.a)
}

fn main() {}

//~ dyn std::error::Error => doesn't have a size known at compile-time
//~ [u8] => doesn't have a size known at compile-time
//~ str => doesn't have a size known at compile-time

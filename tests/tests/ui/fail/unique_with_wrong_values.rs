#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("a", unique, unique_for = "ever")]
fn job_0(_: Job0) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("b", unique, on_duplicate = "drop")]
fn job_1(_: Job1) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job2;

#[pulpo::handler("c", unique_for = "1h")]
fn job_2(_: Job2) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job3;

#[pulpo::handler("d", unique, unique_for = waiting)]
fn job_3(_: Job3) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job4;

#[pulpo::handler("e", unique, unique_for = "0s")]
fn job_4(_: Job4) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job5;

#[pulpo::handler("f", dedup)]
fn job_5(_: Job5) {}

fn main() {}

//~ "ever" => expected "unfinished", "waiting" or a time such as "1h"
//~ "drop" => expected "keep", "replace" or "reject", got "drop"
//~ unique_for => expected `unique` beside `unique_for`
//~ waiting => expected "unfinished", "waiting" or a time such as "1h"
//~ "0s" => expected a time longer than zero
//~ dedup => unknown argument `dedup`: write `unique(account_id)`

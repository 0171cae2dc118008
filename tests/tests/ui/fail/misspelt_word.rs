#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("job_0", unique, unique_for = "wating")]
fn job_0(_: Job0) {}

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("job_1", unique, unique_for = "waiting", on_duplicate = "replce")]
fn job_1(_: Job1) {}

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Job2;

#[pulpo::handler("job_2", cron = "0 3 * * *", missed = "al")]
fn job_2(_: Job2) {}

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Job3;

#[pulpo::handler("job_3", every = "5m", overlap = "alow")]
fn job_3(_: Job3) {}

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Job4;

#[pulpo::handler("job_4", unique, unique_for = "Unfinished")]
fn job_4(_: Job4) {}

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Job5;

#[pulpo::handler("job_5", unique, on_duplicate = "rejct")]
fn job_5(_: Job5) {}

fn main() {}

//~ "wating" => did you mean "waiting"?
//~ "replce" => did you mean "replace"?
//~ "al" => did you mean "all"?
//~ "alow" => did you mean "allow"?
//~ "Unfinished" => did you mean "unfinished"?
//~ "rejct" => did you mean "reject"?

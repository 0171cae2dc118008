#[derive(serde::Serialize, serde::Deserialize)]
struct Job0 {
    name: String,
}

#[pulpo::handler("a", unique(name.to_lowercase()))]
fn job_0(_: Job0) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1 {
    name: String,
}

#[pulpo::handler("b", unique())]
fn job_1(_: Job1) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job2 {
    name: String,
}

#[pulpo::handler("c", unique(name, name))]
fn job_2(_: Job2) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job3 {
    name: String,
}

#[pulpo::handler("d", unique = "name")]
fn job_3(_: Job3) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job4 {
    name: String,
}

#[pulpo::handler("e", limit_by = 1)]
fn job_4(_: Job4) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job5 {
    name: String,
}

#[pulpo::handler("f", rate_by("name") = "1/1s")]
fn job_5(_: Job5) {}

fn main() {}

//~ name.to_lowercase() => expected fields of the body such as `unique(account_id, address.city)`, or `unique` alone
//~ () => expected fields of the body such as `unique(account_id, address.city)`, or `unique` alone
//~ name => expected each field once, got it again: remove it
//~ unique = "name" => expected `unique(account_id)`
//~ limit_by = 1 => expected `limit_by(tenant) = 1`
//~ "name" => expected fields of the body such as `rate_by(account_id, address.city)`

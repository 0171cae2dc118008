#[derive(serde::Serialize, serde::Deserialize)]
struct Address {
    city: String,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job0 {
    account_id: u64,
    address: Address,
}

#[pulpo::handler("a", unique(acount_id))]
fn job_0(_: Job0) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1 {
    address: Address,
}

#[pulpo::handler("b", unique(address.town))]
fn job_1(_: Job1) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job2(u64);

#[pulpo::handler("c", limit_by(1) = 1)]
fn job_2(_: Job2) {}

#[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
#[job("d", rate_by(tennant) = "10/1s")]
struct Job3 {
    tenant: String,
}

fn main() {}

//~ acount_id => no field `acount_id` on type
//~ town => no field `town` on type
//~ 1 => no field `1` on type
//~ tennant => no field `tennant` on type

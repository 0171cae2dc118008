#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("job_0", batch = 5)]
fn job_0(_: Vec<Job0>) -> Vec<bool> {
    Vec::new()
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("job_1", batch = 5)]
fn job_1(_: Vec<Job1>) -> Option<()> {
    None
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job2;

#[pulpo::handler("job_2", batch = 5)]
async fn job_2(_: Vec<Job2>) -> Vec<u8> {
    Vec::new()
}

fn main() {}

//~ Vec<bool> => expected `()` or `Result<(), E>` for all messages, or `Vec<pulpo::Outcome>` or `Result<Vec<pulpo::Outcome>, E>` for each
//~ Option<()> => expected `()` or `Result<(), E>` for all messages, or `Vec<pulpo::Outcome>` or `Result<Vec<pulpo::Outcome>, E>` for each
//~ Vec<u8> => expected `()` or `Result<(), E>` for all messages, or `Vec<pulpo::Outcome>` or `Result<Vec<pulpo::Outcome>, E>` for each

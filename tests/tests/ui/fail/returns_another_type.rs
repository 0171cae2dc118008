#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("job_0")]
fn job_0(_: Job0) -> Option<()> {
    None
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("job_1")]
fn job_1(_: Job1) -> bool {
    true
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job2;

#[pulpo::handler("job_2")]
fn job_2(_: Job2) -> Result<bool, std::io::Error> {
    Ok(true)
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job3;

#[pulpo::handler("job_3")]
fn job_3(_: Job3) -> Result<(), ()> {
    Ok(())
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job4;

#[pulpo::handler("job_4")]
async fn job_4(_: Job4) -> Option<()> {
    None
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job5;

#[pulpo::handler("job_5")]
fn job_5(_: Job5) -> impl std::fmt::Debug {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job6;

#[pulpo::handler("job_6")]
async fn job_6(_: Job6) -> Result<(), u8> {
    Ok(())
}

fn main() {}

//~ Option<()> => expected `()` or `Result<(), E>`, where `E` is a std error that is `Send + Sync`, `Box<dyn Error + Send + Sync>`, `anyhow::Error` or `pulpo::Failure`
//~ bool => expected `()` or `Result<(), E>`, where `E` is a std error that is `Send + Sync`, `Box<dyn Error + Send + Sync>`, `anyhow::Error` or `pulpo::Failure`
//~ Result<bool, std::io::Error> => expected `()` or `Result<(), E>`, where `E` is a std error that is `Send + Sync`, `Box<dyn Error + Send + Sync>`, `anyhow::Error` or `pulpo::Failure`
//~ Result<(), ()> => expected `()` or `Result<(), E>`, where `E` is a std error that is `Send + Sync`, `Box<dyn Error + Send + Sync>`, `anyhow::Error` or `pulpo::Failure`
//~ Option<()> => expected `()` or `Result<(), E>`, where `E` is a std error that is `Send + Sync`, `Box<dyn Error + Send + Sync>`, `anyhow::Error` or `pulpo::Failure`
//~ impl => expected `()` or `Result<(), E>`, where `E` is a std error that is `Send + Sync`, `Box<dyn Error + Send + Sync>`, `anyhow::Error` or `pulpo::Failure`
//~ Result<(), u8> => expected `()` or `Result<(), E>`, where `E` is a std error that is `Send + Sync`, `Box<dyn Error + Send + Sync>`, `anyhow::Error` or `pulpo::Failure`

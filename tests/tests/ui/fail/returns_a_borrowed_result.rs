#[derive(Debug)]
struct Failed<'a>(&'a str);

impl std::fmt::Display for Failed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Failed<'_> {}

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

#[pulpo::handler("a")]
fn a(job: Job0, _: &pulpo::Context) -> Result<(), Failed<'_>> {
    let _ = job.a;
    Err(Failed("failed"))
}

#[pulpo::handler("b")]
fn b(job: Job1, _: &pulpo::Context) -> Result<(), &str> {
    let _ = job.a;
    Err("failed")
}

#[pulpo::handler("c")]
fn c(job: Job2, _: &pulpo::Context) -> Result<(), Box<dyn std::error::Error + Send + Sync + '_>> {
    let _ = job.a;
    Ok(())
}

#[pulpo::handler("d")]
async fn d(job: Job3, _: &pulpo::Context) -> Result<(), Failed<'_>> {
    let _ = job.a;
    Err(Failed("failed"))
}

fn main() {}

//~ '_ => own it, or borrow it for `'static`
//~ & => own it, or borrow it for `'static`
//~ '_ => own it, or borrow it for `'static`
//~ '_ => own it, or borrow it for `'static`

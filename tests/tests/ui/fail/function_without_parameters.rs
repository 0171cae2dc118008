#[pulpo::handler("job_0")]
fn job_0() {}

#[pulpo::handler("job_1")]
async fn job_1() -> pulpo::Outcome {
    Ok(())
}

fn main() {}

//~ () => write `fn job_0(body: Body)`
//~ () => write `fn job_1(body: Body)`

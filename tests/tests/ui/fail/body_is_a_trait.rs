#[pulpo::handler("job_0")]
fn job_0(_: Box<dyn std::fmt::Debug>) {}

#[pulpo::handler("job_1")]
fn job_1(_: &dyn std::fmt::Debug) {}

#[pulpo::handler("job_2")]
fn job_2(_: impl serde::Serialize) {}

fn main() {}

//~ Box<dyn std::fmt::Debug> => expected one type as the body, got `Box<dyn std::fmt::Debug>`: the worker must know what to decode
//~ &dyn std::fmt::Debug => expected one type as the body, got `&dyn std::fmt::Debug`: the worker must know what to decode
//~ impl serde::Serialize => expected one type as the body, got `impl serde::Serialize`: the worker must know what to decode

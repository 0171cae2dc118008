#[pulpo::handler("job_0")]
fn job_0(_: fn(u8)) {}

#[pulpo::handler("job_1")]
fn job_1(_: *const u8) {}

#[pulpo::handler("job_2")]
fn job_2(_: !) {}

fn main() {}

//~ fn(u8) => expected a type of your own as the body, got `fn(u8)`
//~ *const u8 => expected a type of your own as the body, got `* const u8`
//~ ! => the `!` type is experimental

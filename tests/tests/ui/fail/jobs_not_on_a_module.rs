#[pulpo::jobs]
struct Jobs;

#[pulpo::jobs]
fn jobs() {}

fn main() {}

//~ struct Jobs => expected a module: #[pulpo::jobs] goes on `mod jobs { … }`, got `struct Jobs`
//~ fn jobs => expected a module: #[pulpo::jobs] goes on `mod jobs { … }`, got `fn jobs`

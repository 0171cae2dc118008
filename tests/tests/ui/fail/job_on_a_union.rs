#[derive(pulpo::Job)]
#[job("ping")]
union Ping {
    a: u8,
}

fn main() {}

//~ union => expected a struct or an enum as the body of a job, got a union

#[pulpo::handler("send")]
fn send(_: Q) {}

fn main() {}

//~ Q
//~ Q

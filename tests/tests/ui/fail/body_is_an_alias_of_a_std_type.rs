type Name = String;

#[pulpo::handler("name")]
fn name(_: Name) {}

fn main() {}

//~ Name => define and implement a trait or new type instead

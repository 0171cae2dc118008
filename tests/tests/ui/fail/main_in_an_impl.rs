struct Worker;

impl Worker {
    pulpo::main!();
}

fn main() {}

//~ pulpo::main!() => consider moving the implementation out to a nearby module scope

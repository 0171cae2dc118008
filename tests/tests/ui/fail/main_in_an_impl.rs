struct Worker;

impl Worker {
    pulpo::main!();
}

fn main() {}

//~ pulpo::main!()

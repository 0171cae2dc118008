unsafe extern "C" {
    pulpo::main! { setup: |app| app.state(1_u8) }
}

fn main() {}

//~ pulpo::main! { setup: |app| app.state(1_u8) } => consider moving the implementation out to a nearby module scope

pulpo::main! { jobs: [shared::jobs] }

//~ shared => help: if you wanted to use a crate named `shared`, use `cargo add shared` to add it to your `Cargo.toml`

#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

#[pulpo::handler("ping")]
fn ping(_: Ping) {}

fn run() {
    pulpo::main!();
}

fn main() {
    run();
}

//~ pulpo::main!() => write this at the top level of `src/main.rs`, in place of `fn main`

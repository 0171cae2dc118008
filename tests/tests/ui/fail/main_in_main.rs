#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

#[pulpo::handler("ping")]
fn ping(_: Ping) {}

fn main() {
    pulpo::main!();
}

//~ pulpo::main!() => write this at the top level of `src/main.rs`, in place of `fn main`

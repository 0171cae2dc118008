#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

#[pulpo::handler("ping")]
fn ping(_: Ping) {}

fn main() -> std::process::ExitCode {
    pulpo::main!()
}

//~ pulpo::main!()

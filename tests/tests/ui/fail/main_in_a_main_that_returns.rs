#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

#[pulpo::handler("ping")]
fn ping(_: Ping) {}

fn main() -> std::process::ExitCode {
    pulpo::main! { setup: |app| app.state(5u8) }
    std::process::ExitCode::SUCCESS
}

//~ pulpo::main! { setup: |app| app.state(5u8) } => write this at the top level of `src/main.rs`, in place of `fn main`

//! Lints that the user forbids, each alone: an `allow` of one in our output would be an error.
#![forbid(
    clippy::extra_unused_type_parameters,
    clippy::large_types_passed_by_value,
    clippy::missing_const_for_fn,
    clippy::needless_pass_by_value,
    clippy::single_call_fn,
    clippy::wildcard_imports,
    dead_code,
    let_underscore_drop,
    missing_debug_implementations,
    missing_docs,
    non_local_definitions,
    non_snake_case,
    private_bounds,
    private_interfaces,
    single_use_lifetimes,
    trivial_casts,
    unnameable_types,
    unreachable_pub,
    unsafe_code,
    unused_imports,
    unused_lifetimes,
    unused_macros,
    unused_mut,
    unused_variables
)]

/// The jobs.
#[pulpo::jobs]
pub mod jobs {
    use serde::{Deserialize, Serialize};

    pub use super::declared::Outside;

    /// Sent.
    #[derive(Debug, Serialize, Deserialize, pulpo::Job)]
    #[job("send", queue = "mail", alias = "post")]
    pub struct Send {
        /// To whom.
        pub to: String,
    }

    /// Only in some programs.
    #[cfg(all())]
    #[derive(Debug, Serialize, Deserialize, pulpo::Job)]
    #[job("sometimes")]
    pub struct Sometimes;

    /// Not in this one.
    #[cfg(any())]
    #[derive(Debug, Serialize, Deserialize, pulpo::Job)]
    #[job("never")]
    pub struct Never;
}

mod declared {
    /// Declared elsewhere.
    #[derive(Debug, serde::Serialize, serde::Deserialize, pulpo::Job)]
    #[job("outside")]
    pub struct Outside;
}

#[pulpo::handler]
fn send(send: jobs::Send, context: &pulpo::Context) -> pulpo::Outcome {
    println!("{} {}", send.to, context.attempt());
    Ok(())
}

#[pulpo::handler]
async fn sometimes(_: jobs::Sometimes, _: pulpo::State<u8>) {}

#[pulpo::handler]
fn outside(_: declared::Outside) {}

/// Counted.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Count {
    /// By so much.
    pub by: u32,
}

/// Counts.
#[pulpo::handler("count", unique(by), unique_for = "waiting", limit_by(by) = 1, cron = "@daily", tz = "Europe/Berlin")]
pub fn count(count: Count) {
    println!("{}", count.by);
}

/// Of several at once.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Line;

#[pulpo::handler("line", batch = 10)]
fn lines(lines: Vec<Line>) -> Vec<pulpo::Outcome> {
    lines.iter().map(|_| Ok(())).collect()
}

mod program {
    pulpo::main! { jobs: [super::jobs], crates: [serde], setup: |app| app.state(5_u8) }
    pub(crate) const MAIN: fn() -> std::process::ExitCode = main;
}

fn main() {
    #[pulpo::handler("within")]
    fn within(_: Elsewhere) {}

    let _main = program::MAIN;
    assert_eq!(pulpo::Registry::collect().map_or(0, |all| all.iter().count()), 6);
}

/// Handled within a function.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Elsewhere;

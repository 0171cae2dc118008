//! Groups of lints that the user forbids: an `allow` of one of their lints in our output would be
//! reported. The bodies have no derive, because serde's allow some of these lints. (`inventory` allows
//! `non_upper_case_globals`, so `nonstandard_style` is not among them.)
#![forbid(unused, clippy::all, clippy::pedantic, rust_2018_idioms)]
#![deny(forbidden_lint_groups)]

struct Ping;

impl serde::Serialize for Ping {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

impl<'de> serde::Deserialize<'de> for Ping {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <()>::deserialize(deserializer).map(|()| Self)
    }
}

#[pulpo::handler("ping", alias = "pong")]
fn ping(_: Ping, _: &pulpo::Context) {}

/// The jobs.
#[pulpo::jobs]
pub mod jobs {
    /// Declared.
    #[derive(pulpo::Job)]
    #[job("declared")]
    pub struct Declared;

    impl serde::Serialize for Declared {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_unit()
        }
    }

    impl<'de> serde::Deserialize<'de> for Declared {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            <()>::deserialize(deserializer).map(|()| Self)
        }
    }
}

#[pulpo::handler]
async fn declared(_: jobs::Declared) {}

mod program {
    pulpo::main! { jobs: [super::jobs] }
    pub(crate) const MAIN: fn() -> std::process::ExitCode = main;
}

fn main() {
    let _main = program::MAIN;
    assert_eq!(pulpo::Registry::collect().map_or(0, |all| all.iter().count()), 2);
}

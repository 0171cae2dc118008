//! A handler that is configured away is not registered, wherever the `cfg` is.
#![deny(warnings)]

use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Ping;

#[cfg(any())]
#[pulpo::handler("above")]
fn above(_: Missing) {}

#[pulpo::handler("below")]
#[cfg(any())]
fn below(_: Missing) {}

#[pulpo::handler("conditional")]
#[cfg_attr(all(), cfg(any()), inline)]
fn conditional(_: Missing) {}

#[pulpo::handler("a fault that nobody compiles", ttr = 60)]
#[cfg(any())]
fn faulty(_: &Missing) {}

#[pulpo::handler("ping")]
#[cfg(not(any()))]
fn ping(_: Ping) {}

fn main() {
    let registry = pulpo::Registry::collect().expect("sound handlers");
    assert_eq!(registry.iter().count(), 1);
}

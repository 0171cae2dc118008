//! Every form of the arguments for unique jobs and limits, on a handler and on
//! a type, under strict lints.
#![forbid(unsafe_code)]
#![deny(warnings, missing_docs)]
#![warn(clippy::pedantic)]

use std::time::Duration;

use pulpo::{Job as _, OnDuplicate, UniqueFor};

#[derive(serde::Serialize, serde::Deserialize)]
struct Address {
    city: (String, u32),
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Recalculate {
    r#type: u8,
    account_id: u64,
    address: Address,
}

#[pulpo::handler(
    "recalculate",
    unique(r#type, account_id, address.city.0,),
    unique_for = "waiting",
    on_duplicate = "replace",
    rate = "100/1s",
    limit = 3,
    rate_by(account_id) = "1/1m",
    limit_by(address.city.1) = 1
)]
fn recalculate(_: Recalculate) {}

#[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
#[job("ping", unique, unique_for = "1h", on_duplicate = "reject")]
struct Ping(u8);

#[pulpo::handler]
fn ping(_: Ping) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Pair(u8, (u8, u8));

#[pulpo::handler("pair", unique(1.0), limit_by(0) = 1)]
fn pair(_: Pair) {}

fn main() {
    let policy = Recalculate::POLICY;
    assert_eq!((policy.unique_for, policy.on_duplicate), (UniqueFor::Waiting, OnDuplicate::Replace));
    assert_eq!(policy.rate.map(|rate| (rate.starts, rate.period)), Some((100, Duration::from_secs(1))));
    assert_eq!(policy.rate_by.map(|rate| (rate.starts, rate.period)), Some((1, Duration::from_secs(60))));
    assert_eq!((policy.limit, policy.limit_by), (Some(3), Some(1)));
    let policy = Ping::POLICY;
    assert_eq!(policy.unique_for, UniqueFor::Time(Duration::from_secs(3600)));
    assert_eq!(policy.on_duplicate, OnDuplicate::Reject);
    let _ = (recalculate as fn(_), ping as fn(_), pair as fn(_));
}

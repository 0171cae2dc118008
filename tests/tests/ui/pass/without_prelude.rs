//! The output names everything by its full path, the crate as it is told.
#![no_implicit_prelude]
#![deny(warnings)]

use ::serde::{Deserialize, Serialize};

mod reexport {
    pub(crate) use ::pulpo as jobs;
}

mod core {}

struct Ok;
struct Result;
#[allow(non_camel_case_types)]
struct str;
#[allow(non_camel_case_types)]
struct u8;

#[derive(Serialize, Deserialize)]
struct Ping;

#[::pulpo::handler("ping", ttr = "90s", alias = "pong", crate = reexport::jobs)]
fn ping(_: Ping, _: &::pulpo::Context, _: ::pulpo::State<::std::primitive::u8>) {}

#[derive(Serialize, Deserialize)]
struct Send;

#[reexport::jobs::handler("send", timeout = "1500ms", crate = crate::reexport::jobs)]
fn send(_: Send) -> ::pulpo::Outcome {
    ::std::result::Result::Ok(())
}

fn main() {
    let _ = (Ok, Result, str, u8);
    let registry = ::std::result::Result::unwrap(::pulpo::Registry::collect());
    let handler = ::std::option::Option::unwrap(registry.get("pong"));
    ::std::assert_eq!(handler.policy().ttr, ::std::time::Duration::from_secs(90));
}

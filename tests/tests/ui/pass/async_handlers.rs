//! Async handlers under strict lints.
#![no_implicit_prelude]
#![forbid(unsafe_code)]
#![deny(warnings, missing_docs, clippy::pedantic, rust_2018_idioms)]

use ::serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Ping;

#[::pulpo::handler("ping")]
async fn ping(_: Ping, context: &::pulpo::Context, _: ::pulpo::State<::std::string::String>) -> ::pulpo::Outcome {
    ::std::future::ready(()).await;
    let _ = context.id();
    ::std::result::Result::Ok(())
}

mod jobs {
    pub(crate) use ::pulpo as renamed;
}

#[derive(Serialize, Deserialize)]
struct Pong;

#[::pulpo::handler("pong", crate = jobs::renamed)]
async fn pong(_: Pong) {}

fn main() {
    ::std::assert!(::pulpo::Registry::collect().is_ok());
}

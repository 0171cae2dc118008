//! docs
#![forbid(unsafe_code, missing_docs)]
#![allow(clippy::unnecessary_wraps)]
#![deny(warnings, missing_docs, unreachable_pub, unused_qualifications, missing_debug_implementations, clippy::all, clippy::pedantic, rust_2018_idioms, let_underscore_drop, single_use_lifetimes, unused_lifetimes, unsafe_attr_outside_unsafe, non_local_definitions)]
use serde::{Deserialize, Serialize};

/// core
pub mod core {}
/// std
pub mod std {}
mod pulpo {}

/// r
pub type Result<T> = ::core::result::Result<T, ::std::io::Error>;

/// Mail
#[derive(Serialize, Deserialize, Debug)]
pub struct SendEmail { 
 /// to
 pub to: String, 
 /// n
 pub subject: String }

/// Sends
#[::pulpo::handler("send_email", queue = "mail", priority = 10, max_attempts = 5, backoff = "1s..1h", ttr = "60s", timeout = "30s", alias = "old_name", alias = "older")]
///
/// # Errors
/// x
pub fn send_email(SendEmail { to, subject }: SendEmail) -> ::pulpo::Outcome {
    if to == subject { return Err(::pulpo::fatal("same")); }
    Ok(())
}

mod private {
    #[derive(serde::Serialize, serde::Deserialize, Debug)]
    struct Ping;
    #[::pulpo::handler("ping", crate = ::pulpo)]
    fn ping(_: Ping) {}
    #[derive(serde::Serialize, serde::Deserialize, Debug)]
    struct Pong { n: u32 }
    #[::pulpo::handler("pong")]
    fn pong(mut pong: Pong) -> super::Result<()> { pong.n += 1; assert!(pong.n > 0); Ok(()) }
    #[derive(serde::Serialize, serde::Deserialize, Debug)]
    struct Never;
    #[::pulpo::handler("never")]
    fn never(_: Never) -> ! { panic!() }
    #[derive(serde::Serialize, serde::Deserialize, Debug)]
    struct Anon;
    #[::pulpo::handler("anon")]
    fn anon(_: Anon) -> impl ::pulpo::IntoOutcome { }
    #[derive(serde::Serialize, serde::Deserialize, Debug)]
    pub(super) struct Outer;
    #[derive(serde::Serialize, serde::Deserialize, Debug)]
    struct Wrap<T>(T);
    #[::pulpo::handler("wrap")]
    fn wrap(_w: Wrap<Vec<String>>) {}
    #[deprecated]
    #[derive(serde::Serialize, serde::Deserialize, Debug)]
    pub(super) struct Old;
    #[::pulpo::handler("old")]
    #[expect(deprecated)]
    fn old(_w: Old) {}
    #[derive(serde::Serialize, serde::Deserialize, Debug)]
    struct Dep;
    #[::pulpo::handler("dep")]
    #[deprecated]
    fn dep(_w: Dep) {}
    #[derive(serde::Serialize, serde::Deserialize, Debug)]
    struct Raw;
    #[::pulpo::handler("raw")]
    fn r#type(_w: Raw) {}
    #[::pulpo::handler("gone")]
    #[cfg(any())]
    fn gone(_w: Gone) {}
    #[cfg(any())]
    #[::pulpo::handler("gone")]
    fn gone(_w: Gone) {}
    #[::pulpo::handler("gone")]
    #[cfg_attr(all(), cfg(any()), allow(dead_code))]
    fn gone(_w: Gone) {}
}

fn main() {
    #[derive(Serialize, Deserialize, Debug)]
    struct Local;
    #[::pulpo::handler("local")]
    fn local(_: Local) -> ::core::result::Result<(), Box<dyn ::std::error::Error + Send + Sync>> { Ok(()) }
    #[::pulpo::handler("outer")]
    fn outer(_: private::Outer) {}
    for h in ::pulpo::Registry::collect().unwrap().iter() {
        println!("{} {} {}:{} {:?}", h.request_type(), h.function(), h.file(), h.line(), h.aliases());
    }
}

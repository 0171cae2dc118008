#![no_implicit_prelude]
#![deny(warnings, clippy::pedantic)]
extern crate std;
#[derive(::serde::Serialize, ::serde::Deserialize)]
struct A;
#[derive(::serde::Serialize, ::serde::Deserialize)]
struct B;
struct Ok; struct Result; struct Duration; 
#[allow(non_camel_case_types)] struct str; #[allow(non_camel_case_types)] struct u8;
mod re { pub(super) mod deep { pub(crate) use ::pulpo as queue; } }
mod core {} 
#[::pulpo::handler("a", ttr = "90s", alias = "b", crate = re::deep::queue)]
fn a(_: A) {}
#[::pulpo::handler("c", timeout = "90s 5ms", backoff = "5s", alias = "d", crate = crate::re::deep::queue,)]
fn c(_: B) -> ::pulpo::Outcome { ::std::result::Result::Ok(()) }
macro_rules! make { ($name:literal, $t:ident, $ty:ty, $f:ident, $q:expr) => { 
 #[derive(::serde::Serialize, ::serde::Deserialize)] struct $t;
 #[::pulpo::handler($name, queue = $q)] fn $f(_: $ty) -> ::pulpo::Outcome { ::std::result::Result::Ok(()) } } }
make!("made", C, C, made, "q");
fn main() { let _ = (Ok, Result, Duration, str, u8); for h in ::pulpo::Registry::collect().unwrap().iter() {
        ::std::println!("{} {} {}:{} {:?} {:?}", h.request_type(), h.function(), h.file(), h.line(), h.aliases(), h.policy());
    } }

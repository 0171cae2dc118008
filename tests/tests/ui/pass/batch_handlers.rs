//! Batch handlers under strict lints.
#![no_implicit_prelude]
#![forbid(unsafe_code)]
#![deny(warnings, missing_docs, clippy::pedantic, rust_2018_idioms)]

use ::serde::{Deserialize, Serialize};
use ::std::vec::Vec;

#[derive(Serialize, Deserialize)]
struct Line;

#[::pulpo::handler("line", batch = 100, linger = "2s")]
fn line(_: Vec<Line>, _: &::pulpo::Context) {}

#[derive(Serialize, Deserialize, ::pulpo::Job)]
#[job("word")]
struct Word;

#[::pulpo::handler(batch = 100)]
async fn word(words: ::std::vec::Vec<Word>) -> ::std::result::Result<Vec<::pulpo::Outcome>, ::std::io::Error> {
    let each = ::std::iter::Iterator::map(::std::iter::IntoIterator::into_iter(words), |Word| {
        ::std::result::Result::Ok(())
    });
    ::std::result::Result::Ok(::std::iter::Iterator::collect(each))
}

#[derive(Serialize, Deserialize)]
struct Letter;

#[::pulpo::handler("letter", batch = 2)]
fn letter(_: Vec<Letter>) -> Vec<::pulpo::Outcome> {
    Vec::new()
}

fn main() {
    ::std::assert!(::pulpo::Registry::collect().is_ok());
}

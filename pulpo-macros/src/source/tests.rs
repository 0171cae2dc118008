//! Names in source files, by their text.

use std::path::Path;

use super::{
    Origin, defines_plain, is_defined_below, is_only_associated, is_only_free, means_several, mentions_crate,
    needs_no_import, origin, root, takes,
};

#[test]
fn a_handler_takes_its_type_by_a_path_and_in_a_batch() {
    let takes = |file: &str| takes(file.parse().expect("tokens"), "Mail");
    assert!(takes("#[pulpo::handler(\"a\")] fn a(mail: Mail) {}"));
    assert!(takes("mod mail { #[handler] #[allow(unused)] pub async fn a(_: Mail, all: State<Pool>) {} }"));
    assert!(takes("#[pulpo::handler(\"a\")] pub(crate) fn a(mail: Mail) -> Result<(), Never> {}"));
    assert!(takes("#[pulpo::handler(\"a\")] fn a(mail: crate::mail::Mail) {}"));
    assert!(takes("#[pulpo::handler(\"a\", batch = 2)] fn a(mail: Vec<Mail>) {}"));
    assert!(takes("#[handler(batch = 2)] async fn a(mail: std::vec::Vec<self::Mail>, all: State<Pool>) {}"));
    assert!(!takes("#[pulpo::handler(\"a\")] fn a(mail: Vec<Mail>) {}"));
    assert!(!takes("#[pulpo::handler(\"a\", batch = 2)] fn a(mail: Vec<Option<Mail>>) {}"));
    assert!(!takes("#[pulpo::handler(\"a\", batch = 2)] fn a(mail: Mail) {}"));
    assert!(!takes("#[pulpo::handler(\"a\")] fn a(mail: Mail::Other) {}"));
    assert!(!takes("#[pulpo::handler(\"a\")] fn a(all: All) {} fn send(mail: Mail) {}"));
    assert!(!takes("#[pulpo::handler(\"a\")] fn a(all: All, mail: Mail) {}"));
}

#[test]
fn a_crate_is_mentioned_where_its_name_could_come_from() {
    let mentions = |file: &str| mentions_crate(file.parse().expect("tokens"), "framework");
    assert!(!mentions(
        "#[job(\"ping\", crate = framework)] struct Ping; #[pulpo::handler(crate = ::framework::pulpo)] fn a() {}"
    ));
    assert!(!mentions("use std::collections::*; use crate::framework_of_ours; mod tests { use super::*; }"));
    for file in [
        "mod framework;",
        "use shared::framework;",
        "use shared as framework;",
        "use shared::prelude::*;",
        "extern crate shared as framework;",
        "make! { framework }",
        "use crate::framework; #[job(\"ping\", crate = framework)] struct Ping;",
    ] {
        assert!(mentions(file), "{file}");
    }
}

#[test]
fn a_type_is_plain_unless_it_is_declared_as_a_job() {
    let plain = |file: &str| defines_plain(file.parse().expect("tokens"), "Mail");
    assert!(plain("#[derive(Debug)] struct Mail { to: String }"));
    assert!(plain("#[job(\"a\")] struct A; mod jobs { pub enum Mail {} }"));
    assert!(!plain("#[derive(Job)] #[job(\"a\")] pub struct Mail;"));
    assert!(!plain("use shared::Mail;"));
}

fn of_state(file: &str) -> Origin {
    origin(file.parse().expect("tokens"), "State")
}

#[test]
fn a_name_is_own_where_it_is_defined_or_imported_from_own_code() {
    for own in [
        "struct State<T>(T);",
        "mod jobs { pub enum State { On } }",
        "use crate::address::State;",
        "use address::{City, State as State};",
        "use {std::fmt, crate::{address::{City, Land as State}}};",
        "type State = u8;",
        "use pulpo::State as Shared; struct State;",
    ] {
        assert_eq!(of_state(own), Origin::Own, "{own}");
    }
    for other in [
        "use pulpo::State;",
        "use pulpo::{Context, State};",
        "use ::pulpo::State;",
        "use std::sync::mpsc::State;",
        "use crate::models::*; use pulpo::State;",
    ] {
        assert_eq!(of_state(other), Origin::Other, "{other}");
    }
    for unknown in [
        "fn f(_: State) {}",
        "struct Stat; struct Other { state: State }",
        "impl State {}",
        "use crate::State as Other;",
    ] {
        assert_eq!(of_state(unknown), Origin::Unknown, "{unknown}");
    }
}

#[test]
fn a_name_may_be_imported_by_a_glob_from_elsewhere() {
    for own in [
        "use crate::models::*;",
        "mod tests { use super::*; }",
        "use models::{self, state::*};",
        "use {std::fmt, shared::*};",
    ] {
        assert_eq!(of_state(own), Origin::Glob, "{own}");
    }
    for other in ["use pulpo::*;", "use ::std::collections::*;", "use {core::fmt::*, pulpo::queue::*};"] {
        assert_eq!(of_state(other), Origin::Unknown, "{other}");
    }
    for name in ["String", "Result", "u8", "str"] {
        assert!(needs_no_import(name), "{name}");
    }
    for name in ["Duration", "HashMap", "State", "Message"] {
        assert!(!needs_no_import(name), "{name}");
    }
}

#[test]
fn a_name_of_the_prelude_is_looked_for_in_all_files() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    assert!(is_defined_below(&sources, "Origin") && is_defined_below(&sources, "Fields"));
    assert!(!is_defined_below(&sources, "String"));
}

#[test]
fn a_function_is_associated_if_it_is_only_in_an_impl_or_a_trait() {
    for associated in [
        "impl Mailer { fn send(_: Mail) {} }",
        "mod a { unsafe impl<T: Fn(u8) -> u8> A for B<T> { const X: u8 = 1; pub fn r#send() {} } }",
        "fn other() -> impl Clone { 1 } trait Mails { fn send(_: Mail) {} }",
    ] {
        assert!(is_only_associated(associated.parse().expect("tokens"), "send"), "{associated}");
    }
    for free in [
        "fn send(_: Mail) {}",
        "impl Mailer { fn send(_: Mail) {} } fn send(_: Mail) {}",
        "impl Mailer { fn run() { fn send(_: Mail) {} } }",
        "fn run() -> impl Clone { fn send(_: Mail) {} }",
        "impl Mailer { fn resend(_: Mail) {} }",
    ] {
        assert!(!is_only_associated(free.parse().expect("tokens"), "send"), "{free}");
    }
}

#[test]
fn a_name_means_several_types_if_it_is_defined_or_imported_more_than_once() {
    let several = |file: &str| means_several(file.parse().expect("tokens"), "Mail");
    assert!(several("mod a { struct Mail; } mod b { pub enum Mail {} }"));
    assert!(several("mod a { use crate::x::Mail; } mod b { use crate::{y::Letter as Mail, z}; }"));
    assert!(several("fn a() { struct Mail; } fn b() { struct Mail; }"));
    assert!(!several("struct Mail; mod a { use super::Mail; } mod b { use super::super::Mail; }"));
    assert!(!several("mod a { use super::Mail; } mod b { use super::Mail; }"));
    assert!(!several("struct Letter; mod a { struct Letter; }"));
}

#[test]
fn a_function_is_free_if_none_of_its_name_is_in_an_impl() {
    let free = |file: &str| is_only_free(file.parse().expect("tokens"), "send");
    assert!(free("mod a { fn send(self) {} }"));
    assert!(!free("fn send() {} impl A { fn send(self) {} }"));
    assert!(!free("trait A { fn send(self); }"));
    assert!(!free("fn post() {}"));
}

#[test]
fn the_root_is_the_file_that_the_compiler_is_given() {
    let of = |arguments: &str| root(arguments.split_whitespace()).map(|file| file.display().to_string());
    assert_eq!(of("rustc --crate-name shop --edition=2024 src/main.rs --extern a=b.rlib"), Some("src/main.rs".into()));
    assert_eq!(of("rust-analyzer-proc-macro-srv"), None);
}

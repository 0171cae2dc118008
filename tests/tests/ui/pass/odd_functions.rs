//! Functions and names of unusual kinds: raw, not of ASCII, very long, and the attribute under a condition.
#![deny(warnings)]

use serde::{Deserialize, Serialize};

/// With raw names everywhere.
#[derive(Serialize, Deserialize)]
struct r#Struct {
    r#type: String,
    inner: Inner,
}

#[derive(Serialize, Deserialize)]
struct Inner {
    r#match: u8,
}

#[pulpo::handler("raw", r#queue = "raw", unique(r#type, inner.r#match), rate_by(r#type) = "1/1s")]
fn r#fn(r#in: r#Struct, r#mod: &pulpo::Context) {
    let _ = (r#in.r#type, r#in.inner.r#match, r#mod.attempt());
}

#[derive(Serialize, Deserialize)]
struct Größe {
    länge: u8,
}

/// Ünwieldy.
#[pulpo::handler("size", unique(länge))]
async fn größe_ändern(größe: Größe) {
    let _ = größe.länge;
}

#[derive(Serialize, Deserialize)]
struct Long;

#[pulpo::handler(
    "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn/+-:"
)]
fn ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff(_: Long) {}

#[derive(Serialize, Deserialize)]
struct Always;

#[cfg_attr(all(), pulpo::handler("always"))]
fn always(_: Always) {}

#[derive(Serialize, Deserialize)]
struct Not;

#[cfg_attr(any(), pulpo::handler("not"))]
fn not(_: Not) {}

#[cfg_attr(all(), derive(Serialize, Deserialize, pulpo::Job), job("declared", alias = "was"))]
struct Declared;

#[cfg_attr(all(), pulpo::handler)]
fn declared(_: Declared) {}

#[derive(Serialize, Deserialize)]
struct Text;

#[pulpo::handler("text")]
async fn text(_: Text, name: pulpo::State<&'static str>, _: &pulpo::Context) -> pulpo::Outcome {
    std::future::ready(*name).await;
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct Attributed;

/** A block comment. */
#[doc = concat!("It ", "does nothing.")]
#[inline]
#[cold]
#[must_use]
#[track_caller]
#[pulpo::handler("attributed")]
#[doc(hidden)]
fn attributed(#[allow(unused_variables)] attributed: Attributed) -> pulpo::Outcome {
    Ok(())
}

struct Outer;

impl Outer {
    fn run(&self) {
        #[derive(Serialize, Deserialize)]
        struct Inside;

        #[pulpo::handler("inside")]
        fn inside(_: Inside) {}

        let _ = || {
            #[pulpo::handler("deeper")]
            fn inside(_: Deeper) {}
        };
    }
}

#[derive(Serialize, Deserialize)]
struct Deeper;

fn main() {
    Outer.run();
    not(Not);
    let registry = pulpo::Registry::collect().expect("sound handlers");
    assert_eq!(registry.iter().count(), 9);
    assert_eq!(registry.get("raw").expect("raw").unique_fields(), Some("type, inner.match"));
    assert_eq!(registry.get("raw").expect("raw").policy().queue, Some("raw"));
    assert!(registry.get("raw").expect("raw").function().ends_with("::fn"));
    assert!(registry.get("size").expect("size").function().ends_with("::größe_ändern"));
    assert!(registry.get("was").is_some() && registry.get("not").is_none());
}

use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct A;

#[pulpo::handler("a")]
fn a(_: &[A]) {}

#[derive(Serialize, Deserialize)]
struct B;

#[pulpo::handler("b")]
fn b(_: Vec<B>) {}

#[derive(Serialize, Deserialize)]
struct C;

#[pulpo::handler("c")]
fn c(_: Option<C>) {}

#[derive(Serialize, Deserialize)]
struct D;

#[pulpo::handler("d")]
fn d(_: [D; 2]) {}

#[derive(Serialize, Deserialize)]
struct E;

#[pulpo::handler("e")]
fn e(_: (E, u8)) {}

#[derive(Serialize, Deserialize)]
struct F;

#[pulpo::handler("f")]
fn f(_: std::collections::HashMap<String, F>) {}

#[derive(Serialize, Deserialize)]
struct G;

#[pulpo::handler("g")]
fn g(_: std::sync::Arc<std::sync::Mutex<G>>) {}

#[derive(Serialize, Deserialize)]
struct H;

#[pulpo::handler("h")]
fn h(_: std::pin::Pin<Box<H>>) {}

#[derive(Serialize, Deserialize)]
struct I;

#[pulpo::handler("i")]
fn i(_: pulpo::Message<Vec<I>>) {}

#[derive(Serialize, Deserialize)]
struct J;

#[pulpo::handler("j")]
fn j(_: &Option<J>) {}

#[derive(Serialize, Deserialize)]
struct K<T>(T);

#[pulpo::handler("k")]
fn k(_: Vec<K<u8>>) {}

fn main() {
    let _ = pulpo::publish(A);
    let _ = pulpo::publish(B);
    let _ = pulpo::publish(C);
    let _ = pulpo::publish(D);
    let _ = pulpo::publish(E);
    let _ = pulpo::publish(F);
    let _ = pulpo::publish(G);
    let _ = pulpo::publish(H);
    let _ = pulpo::publish(I);
    let _ = pulpo::publish(J);
    let _ = pulpo::publish_all(vec![A, A]);
    let _ = pulpo::publish(pulpo::Message::new(B).priority(1));
}

//~ &[A] => write `Vec<A>` with `batch = 100`
//~ Vec<B> => or add `batch = 100`
//~ Option<C> => wrap it in one
//~ [D; 2] => wrap it in one
//~ (E, u8) => wrap it in one
//~ std::collections::HashMap<String, F> => wrap it in one
//~ std::sync::Arc<std::sync::Mutex<G>> => write `G`
//~ std::pin::Pin<Box<H>> => write `H`
//~ pulpo::Message<Vec<I>> => write `Vec<I>`
//~ &Option<J> => write `Option<J>`
//~ Vec<K<u8>> => or add `batch = 100`

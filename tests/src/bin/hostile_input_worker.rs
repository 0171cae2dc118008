//! A worker whose handlers repeat hostile input in their errors and panics. For tests of hostile messages.

use serde::{Deserialize, Serialize};

/// A body with fields of many types, for messages that hardly ever fit.
#[derive(Debug, Serialize, Deserialize)]
struct Take {
    number: u64,
    #[serde(default)]
    text: String,
    #[serde(default)]
    list: Vec<Option<f64>>,
    #[serde(default)]
    any: serde_json::Value,
}

#[pulpo::handler("take", max_attempts = 1)]
fn take(take: Take) {
    drop(take);
}

/// A text.
#[derive(Debug, Serialize, Deserialize)]
struct Text(String);

#[pulpo::handler("text", max_attempts = 1)]
fn text(Text(text): Text) {
    drop(text);
}

/// A text that becomes the reason of a failure.
#[derive(Debug, Serialize, Deserialize)]
struct Fail(String);

#[pulpo::handler("fail", max_attempts = 1)]
fn fail(Fail(text): Fail) -> pulpo::Outcome {
    Err(text)?
}

/// A text that becomes the message of a panic.
#[derive(Debug, Serialize, Deserialize)]
struct Panic(String);

#[pulpo::handler("panic", max_attempts = 1)]
fn panics(Panic(text): Panic) {
    panic!("{text}");
}

pulpo::main!();

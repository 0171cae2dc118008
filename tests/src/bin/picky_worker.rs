//! Jobs whose bodies are hard to see through, and keys that change.

use serde::{Deserialize, Deserializer, Serialize};

#[derive(Serialize, Deserialize)]
struct Stock {
    sku: Sku,
    count: u32,
}

/// A text of a form that cannot be guessed.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Sku(String);

impl TryFrom<String> for Sku {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let is_sku = matches!(text.as_bytes(), [b'A'..=b'Z', b'A'..=b'Z', b'-', b'0'..=b'9', b'0'..=b'9']);
        if is_sku { Ok(Self(text)) } else { Err("expected a stock number") }
    }
}

impl From<Sku> for String {
    fn from(sku: Sku) -> Self {
        sku.0
    }
}

#[pulpo::handler("stock")]
fn stock(_: Stock) {}

#[derive(Serialize, Deserialize)]
struct Panics {
    n: Odd,
}

/// Panics when it reads the number one, unless it is to be calm.
#[derive(Serialize)]
struct Odd(u8);

impl<'de> Deserialize<'de> for Odd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u8::deserialize(deserializer)?;
        assert!(number != 1 || std::env::var_os("CALM").is_some(), "a one");
        Ok(Self(number))
    }
}

#[pulpo::handler("panics")]
fn panics(_: Panics) {}

/// Unique by its whole body, which is written without the field that is not there.
#[derive(Serialize, Deserialize)]
struct Charged {
    at: chrono::DateTime<chrono::Utc>,
    #[serde(default, alias = "sum")]
    amount: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[pulpo::handler("charged", unique)]
fn charged(_: Charged) {}

#[derive(Serialize, Deserialize)]
struct Billed {
    amount: u64,
    #[serde(alias = "customer")]
    customer_id: u64,
}

#[pulpo::handler("billed", unique(customer_id))]
fn billed(_: Billed) {}

#[derive(Serialize, Deserialize)]
struct Counted {
    number: Digits,
}

/// Reads a number too, and writes a text.
#[derive(Clone, Serialize)]
struct Digits(String);

impl<'de> Deserialize<'de> for Digits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(u64),
            Text(String),
        }
        Ok(Self(match Either::deserialize(deserializer)? {
            Either::Number(number) => number.to_string(),
            Either::Text(text) => text,
        }))
    }
}

#[pulpo::handler("counted", unique(number))]
fn counted(_: Counted) {}

#[derive(Serialize, Deserialize)]
struct Named {
    id: u64,
    name: String,
}

#[pulpo::handler("named", alias = "titled")]
fn named(_: Named) {}

pulpo::main!();

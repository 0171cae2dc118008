//! The table of docs/deploys.md.

use super::shape;

/// The types in the table.
#[expect(dead_code, reason = "only the types matter")]
mod types {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer};

    use crate::shape::tests::foreign;

    /// A struct with this field.
    macro_rules! field {
        ($name:ident: $(#[$attribute:meta])* $field:ident: $type:ty) => {
            #[derive(Deserialize)]
            pub(super) struct $name {
                $(#[$attribute])*
                $field: $type,
            }
        };
    }

    field!(Text: to: String);
    field!(Number: n: u32);
    field!(OfNewtype: id: Id);
    field!(Bounded: n: std::num::NonZeroU32);
    field!(Optional: note: Option<String>);
    field!(Default: #[serde(default)] n: u32);
    field!(Alias: #[serde(alias = "m")] n: u32);
    field!(Time: at: chrono::DateTime<chrono::Utc>);
    field!(OfUuid: id: uuid::Uuid);
    field!(OfDecimal: price: rust_decimal::Decimal);
    field!(OfUrl: page: foreign::Url);
    field!(OfNet: net: foreign::IpNet);
    field!(OfVersion: version: foreign::Version);
    field!(Short: code: foreign::ArrayString<8>);
    field!(Shown: n: foreign::Shown<u32>);
    field!(OfSlug: name: foreign::Slug);
    field!(OfBytes: data: foreign::Bytes<{ usize::MAX }>);
    field!(OfKey: key: foreign::Bytes<4>);
    field!(Few: items: foreign::ArrayVec<Item, 3>);
    field!(OfOffset: at: foreign::OffsetDateTime);
    field!(OfEitherCrate: to: foreign::Either<u8, String>);
    field!(With: #[serde(deserialize_with = "number_or_text")] n: u64);
    field!(List: items: Vec<Item>);
    field!(Map: by: BTreeMap<String, u32>);
    field!(NumberKeys: by: BTreeMap<u32, Item>);
    field!(EnumKeys: by: BTreeMap<Day, u32>);
    field!(Pair: pair: (u8, String));
    field!(OfPay: pay: Pay);
    field!(OfBoth: pay: Both);
    field!(OfTyped: by: Typed);
    field!(OfApart: by: Apart);
    field!(OfEither: any: Either);
    field!(OfSku: sku: Sku);
    field!(Tree: left: Option<Box<Tree>>);

    #[derive(Deserialize)]
    struct Id(u64);

    #[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
    enum Day {
        Mon,
        Tue,
    }

    #[derive(Deserialize)]
    struct Item {
        x: u8,
    }

    #[derive(Deserialize)]
    enum Pay {
        Cash,
        Card { number: u64 },
    }

    #[derive(Deserialize)]
    enum Both {
        Both(u8, i8),
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Strict {
        n: u32,
    }

    #[derive(Deserialize)]
    #[serde(tag = "type")]
    enum Typed {
        A { x: u8 },
        B,
    }

    #[derive(Deserialize)]
    #[serde(tag = "type", content = "of")]
    enum Apart {
        A { x: u8 },
        B(Id),
    }

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        A(u8),
        B(u16),
    }

    #[derive(Deserialize)]
    pub(super) struct Outer {
        a: u8,
        #[serde(flatten)]
        inner: Inner,
    }

    #[derive(Deserialize)]
    struct Inner {
        b: u8,
    }

    #[derive(Deserialize)]
    #[serde(try_from = "String")]
    struct Sku;

    impl TryFrom<String> for Sku {
        type Error = &'static str;

        fn try_from(text: String) -> Result<Self, &'static str> {
            if text == "AB-12" { Ok(Self) } else { Err("expected a stock number") }
        }
    }

    fn number_or_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(u64),
            Text(String),
        }
        match Either::deserialize(deserializer)? {
            Either::Number(number) => Ok(number),
            Either::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

#[test]
fn each_documented_line_is_that_of_such_a_type() {
    use types::*;

    let types = [
        ("`to: String`", shape::<Text>()),
        ("`n: u32`", shape::<Number>()),
        ("`id: Id`, a newtype of `u64`", shape::<OfNewtype>()),
        ("`n: NonZeroU32`", shape::<Bounded>()),
        ("`note: Option<String>`", shape::<Optional>()),
        ("`#[serde(default)] n: u32`", shape::<types::Default>()),
        ("`#[serde(alias = \"m\")] n: u32`", shape::<Alias>()),
        ("`#[serde(deny_unknown_fields)]`", shape::<Strict>()),
        ("`at: DateTime<Utc>`", shape::<Time>()),
        ("`id: Uuid`", shape::<OfUuid>()),
        ("`price: Decimal`", shape::<OfDecimal>()),
        ("`page: Url`", shape::<OfUrl>()),
        ("`net: IpNet`", shape::<OfNet>()),
        ("`version: semver::Version`", shape::<OfVersion>()),
        ("`code: ArrayString<8>`", shape::<Short>()),
        ("`#[serde_as(as = \"DisplayFromStr\")] n: u32`", shape::<Shown>()),
        ("`name: Slug`, which reads lower-case letters and hyphens", shape::<OfSlug>()),
        ("`data: bytes::Bytes`, or `#[serde(with = \"serde_bytes\")]`", shape::<OfBytes>()),
        ("`key: serde_bytes::ByteArray<4>`", shape::<OfKey>()),
        ("`#[serde(deserialize_with = \"…\")] n: u64`, which reads strings too", shape::<With>()),
        ("`items: Vec<Item>`", shape::<List>()),
        ("`items: ArrayVec<Item, 3>`", shape::<Few>()),
        ("`by: BTreeMap<String, u32>`", shape::<Map>()),
        ("`by: BTreeMap<u32, Item>`", shape::<NumberKeys>()),
        ("`by: BTreeMap<Day, u32>`", shape::<EnumKeys>()),
        ("`pair: (u8, String)`", shape::<Pair>()),
        ("`at: time::OffsetDateTime`", shape::<OfOffset>()),
        ("`enum Pay { Cash, Card { number: u64 } }`", shape::<OfPay>()),
        ("`enum Pay { Both(u8, i8) }`", shape::<OfBoth>()),
        ("`to: either::Either<u8, String>`", shape::<OfEitherCrate>()),
        ("`#[serde(tag = \"type\")]`", shape::<OfTyped>()),
        ("`#[serde(tag = \"type\", content = \"of\")]`", shape::<OfApart>()),
        ("`#[serde(untagged)]`", shape::<OfEither>()),
        ("`#[serde(flatten)]`", shape::<Outer>()),
        ("`#[serde(try_from = \"String\")]`, which refuses all that pulpo tries", shape::<OfSku>()),
        ("`left: Option<Box<Tree>>`", shape::<types::Tree>()),
    ];
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/deploys.md")).expect("the page");
    let table = page.split("| in the type |").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("the table");
    let rows: Vec<_> = table.lines().skip(2).filter_map(|row| row.strip_prefix("| ")?.rsplit_once(" | `")).collect();
    assert_eq!(rows.len(), types.len());
    let mut wrong = Vec::new();
    for ((snippet, line), (known, shape)) in rows.into_iter().zip(types) {
        let line = line.trim_end_matches("` |").replace("\\|", "|");
        assert_eq!(snippet, known);
        if !shape.lines().any(|known| known == line) {
            wrong.push(format!("{line} is not among\n{shape}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

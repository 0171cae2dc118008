use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::json::{self, Unfit};
use super::*;

/// Reads a text through the one deserializer.
fn read<B: DeserializeOwned>(text: &str) -> Result<B, Unfit> {
    let mut body = None;
    json::read(text, &mut |part| {
        body = Some(B::deserialize(part)?);
        Ok(())
    })?;
    Ok(body.expect("a body"))
}

/// Asserts that both readers give the same result or the same error.
#[track_caller]
fn reads_as_serde_json_does<B: DeserializeOwned + Debug>(text: &str) {
    let theirs = serde_json::from_str::<B>(text);
    let ours = read::<B>(text);
    let name = std::any::type_name::<B>();
    match (theirs, ours) {
        (Ok(theirs), Ok(ours)) => assert_eq!(format!("{ours:?}"), format!("{theirs:?}"), "{name} from {text}"),
        (Err(theirs), Err(ours)) => {
            let (theirs, ours) = (theirs.to_string(), ours.error.to_string());
            // Keys are read before they are interpreted, so the column may differ by one.
            let words = |error: &str| error.split(" at line ").next().unwrap_or_default().to_owned();
            assert_eq!(words(&ours), words(&theirs), "{name} from {text}");
            // Ours gives the position even of a buffered value.
            assert!(ours.contains(" at line "), "{ours}; {theirs}");
        }
        (theirs, ours) => panic!("{name} from {text}: got {ours:?}, expected {theirs:?}"),
    }
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "shown by Debug")]
struct Plain {
    #[serde(alias = "recipient")]
    to: String,
    number: u32,
    #[serde(default)]
    flag: bool,
    note: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "shown by Debug")]
struct Strict {
    a: u8,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "shown by Debug")]
struct Pair(u8, String);

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "shown by Debug")]
struct Newtype(Vec<Option<i64>>);

#[derive(Debug, Deserialize)]
struct Unit;

#[derive(Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum External {
    Unit,
    One(u8),
    Two(u8, String),
    Struct { x: i32 },
}

#[derive(Debug, Deserialize)]
#[serde(tag = "t")]
#[expect(dead_code, reason = "shown by Debug")]
enum Internal {
    A { x: u8, y: Option<String> },
    B,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "t", content = "c")]
#[expect(dead_code, reason = "shown by Debug")]
enum Adjacent {
    A { x: u8 },
    B(String),
    C,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
#[expect(dead_code, reason = "shown by Debug")]
enum Untagged {
    Number(u8),
    Words(Vec<String>),
    Struct { x: i64 },
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "shown by Debug")]
struct Flat {
    a: u8,
    #[serde(flatten)]
    more: Plain,
    #[serde(flatten)]
    rest: BTreeMap<String, serde_json::Value>,
}

/// Bytes and floats make requests that the derives do not.
#[derive(Debug)]
#[expect(dead_code, reason = "shown by Debug")]
struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Take;
        impl<'de> Visitor<'de> for Take {
            type Value = Bytes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Bytes, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = list.next_element()? {
                    bytes.push(byte);
                }
                Ok(Bytes(bytes))
            }
        }
        deserializer.deserialize_bytes(Take)
    }
}

const TEXTS: &[&str] = &[
    "",
    "nul",
    "null",
    "true",
    "0",
    "-0",
    "7",
    "-7",
    "255",
    "256",
    "1.5",
    "1e3",
    "1e999",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775809",
    "340282366920938463463374607431768211455",
    "0.1234567890123456789",
    r#""""#,
    r#""a""#,
    r#""\u00e9\n""#,
    r#""\ud800""#,
    r#""Unit""#,
    r#""Nothing""#,
    r#""2026-01-01T00:00:00Z""#,
    "[]",
    "[1]",
    "[1,2]",
    r#"[1,"a"]"#,
    "[null,7]",
    r#"["a","b"]"#,
    "[1,]",
    "[[1]]",
    "[1] 2",
    "[1",
    "[1 2]",
    "{}",
    r#"{"a":1}"#,
    r#"{"a":1,"a":2}"#,
    r#"{"a":1,"b":2}"#,
    r#"{"a":null}"#,
    r#"{"x":1}"#,
    r#"{"x":"1"}"#,
    r#"{"to":"ada","number":7}"#,
    r#"{"recipient":"ada","number":7,"flag":true,"note":"n","more":[1,{"a":null}]}"#,
    r#"{"to":"ada","recipient":"bob","number":7}"#,
    r#"{"to":7,"number":7}"#,
    r#"{"to":"ada"}"#,
    r#"{"t\u006f":"ad\u0061","number":7}"#,
    r#"["ada",7,true,null]"#,
    r#"["ada",7,true]"#,
    r#"{"to":"ada","number":7"#,
    r#"{"One":1}"#,
    r#"{"One":"1"}"#,
    r#"{"Two":[1,"a"]}"#,
    r#"{"Two":[1]}"#,
    r#"{"Struct":{"x":1}}"#,
    r#"{"Struct":[1]}"#,
    r#"{"Unit":null}"#,
    r#"{"Unit":1}"#,
    r#"{"One":1,"Two":2}"#,
    r#"{"Nothing":1}"#,
    "{1:2}",
    r#"{"t":"A","x":1}"#,
    r#"{"x":1,"t":"A","y":"z"}"#,
    r#"{"t":"B"}"#,
    r#"{"t":"Z"}"#,
    r#"{"t":"A"}"#,
    r#"{"x":1}"#,
    r#"{"t":"A","c":{"x":1}}"#,
    r#"{"c":{"x":1},"t":"A"}"#,
    r#"{"t":"B","c":"b"}"#,
    r#"{"t":"C"}"#,
    r#"{"t":"B"}"#,
    r#"{"a":1,"to":"ada","number":7,"z":{"b":[1.50,null]}}"#,
    r#"{"1":"a","-2":"b"}"#,
    r#"{"true":1,"false":2}"#,
    r#"{"1":1,"x":2}"#,
    r#"{"Unit":1,"Two":2}"#,
    r#"{"1.5":1}"#,
    r#"{"9223372036854775808":1}"#,
];

macro_rules! as_serde_json {
    ($($ty:ty),* $(,)?) => {
        for text in TEXTS {
            $(reads_as_serde_json_does::<$ty>(text);)*
        }
    };
}

#[test]
fn each_kind_of_type_reads_each_text_as_serde_json_does() {
    as_serde_json! {
        bool, u8, i8, u16, i16, u32, i32, u64, i64, u128, i128, f32, f64, char, String, (), Unit, Option<u8>,
        Option<Option<String>>, Box<str>, std::num::NonZeroU8, [u8; 2], (u8, String), Vec<u8>, Vec<Vec<u8>>, Bytes,
        BTreeMap<String, u8>, BTreeMap<i8, String>, BTreeMap<u64, u8>, BTreeMap<External, u8>,
        BTreeMap<char, u8>, BTreeMap<Option<String>, u8>,
        Plain, Strict, Pair, Newtype, External, Internal, Adjacent, Untagged, Flat,
        serde_json::Value, serde_json::Number, Box<RawValue>, BTreeMap<String, Box<RawValue>>, Vec<IgnoredAny>,
        chrono::DateTime<chrono::Utc>, std::time::Duration, std::net::IpAddr, std::path::PathBuf,
        Result<u8, String>, std::ops::Range<u8>,
    }
}

/// serde_json has no message of its own for such keys that do not fit.
#[test]
fn a_key_may_be_a_boolean_or_a_long_number() {
    let long = "170141183460469231731687303715884105727";
    let numbers = self::read::<BTreeMap<i128, u8>>(&format!(r#"{{"{long}":1,"-5":2}}"#)).expect("numbers");
    assert_eq!(numbers, BTreeMap::from([(i128::MAX, 1), (-5, 2)]));
    assert_eq!(path::<BTreeMap<u128, u8>>(r#"{"1":1,"1.5":2}"#), ".1.5");
    let read = read::<BTreeMap<bool, u8>>;
    assert_eq!(read(r#"{"true":1,"false":2}"#).expect("booleans"), BTreeMap::from([(true, 1), (false, 2)]));
    let error = read(r#"{"true":1,"yes":2}"#).expect_err("no boolean");
    assert_eq!(
        (error.path.as_str(), error.error.to_string().as_str()),
        (".yes", "invalid type: string \"yes\", expected a boolean at line 1 column 15")
    );
}

#[test]
fn a_text_as_deep_as_serde_json_reads_is_read_and_no_deeper() {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    reads_as_serde_json_does::<serde_json::Value>(&deep(127));
    reads_as_serde_json_does::<serde_json::Value>(&deep(128));
    assert!(read::<serde_json::Value>(&deep(127)).is_ok());
    assert!(read::<serde_json::Value>(&deep(128)).is_err());
}

#[test]
fn borrowed_text_is_not_copied() {
    let text = r#"{"a":"one"}"#;
    let mut found = None;
    let read = json::read(text, &mut |part| {
        found = HashMap::<&str, &str>::deserialize(part).map(|map| map.into_iter().next()).expect("borrowed");
        Ok(())
    });
    assert!(read.is_ok());
    assert_eq!(found, Some(("a", "one")));
    assert_eq!(found.map(|(key, _)| key.as_ptr()), Some(text[2..].as_ptr()));
}

#[track_caller]
fn path<B: DeserializeOwned + Debug>(text: &str) -> String {
    read::<B>(text).expect_err("it does not fit").path
}

#[test]
fn the_path_leads_to_what_does_not_fit() {
    type Lists = HashMap<String, Vec<Plain>>;
    assert_eq!(path::<Lists>(r#"{"a":[{"to":"x","number":1},{"to":"x","number":"1"}]}"#), ".a[1].number");
    assert_eq!(path::<Lists>(r#"{"a":[{"to":"x"}]}"#), ".a[0]");
    assert_eq!(path::<Lists>("7"), "");
    assert_eq!(path::<Strict>(r#"{"a":1,"b":2}"#), ".b");
    assert_eq!(path::<Vec<External>>(r#"["Unit",{"Struct":{"x":null}}]"#), "[1].Struct.x");
    assert_eq!(path::<Vec<External>>(r#"["Unit",{"Nothing":{}}]"#), "[1]");
    assert_eq!(path::<BTreeMap<u8, u8>>(r#"{"1":1,"x":2}"#), ".x");
    assert_eq!(path::<Newtype>(r#"[1,"x"]"#), "[1]");
    // A buffered value has no path of its own.
    assert_eq!(path::<Vec<Untagged>>(r#"[1,{"x":"y"}]"#), "[1]");
}

/// Leaves out elements that do not fit.
#[derive(Debug)]
struct Lossy(Vec<Plain>);

impl<'de> Deserialize<'de> for Lossy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Take;
        impl<'de> Visitor<'de> for Take {
            type Value = Lossy;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Lossy, A::Error> {
                let mut all = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    if key == "end" {
                        map.next_value::<u8>()?;
                    } else {
                        all.extend(map.next_value::<Plain>());
                    }
                }
                Ok(Lossy(all))
            }
        }
        deserializer.deserialize_map(Take)
    }
}

#[test]
fn an_error_that_a_type_gets_over_leaves_no_trace_in_the_path() {
    let text = r#"[{"a":{"to":"x","number":1,"note":7},"end":"x"}]"#;
    assert_eq!(read::<Vec<Lossy>>(text).map(|all| all[0].0.len()).expect_err("the end").path, "[0].end");
}

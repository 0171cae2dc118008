use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::*;

fn shape<B: DeserializeOwned>() -> String {
    Shape::of::<B>().to_string()
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "only its type matters")]
struct Order {
    to: String,
    items: Vec<Item>,
    note: Option<String>,
    #[serde(alias = "kind")]
    pay: Pay,
    by: HashMap<u32, Option<f64>>,
    at: chrono::DateTime<chrono::Utc>,
    pair: (u8, String),
    wait: std::time::Duration,
    flags: [bool; 3],
    unit: (),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "only its type matters")]
struct Item {
    unit_price: f32,
    id: Id,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "only its type matters")]
struct Id(u64);

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its type matters")]
enum Pay {
    Cash,
    Card(Card),
    Check { number: u64 },
    Both(u8, i8),
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "only its type matters")]
struct Card {
    number: char,
}

#[test]
fn a_shape_has_a_line_for_each_path() {
    let expected = "\
body: object
body.at: text, such as \"1970-01-01T00:00:00Z\"
body.by: map, such as {\"1\":0.5}
body.by.*: f64, or null
body.flags: list of 3
body.flags[0]: bool
body.items: list
body.items[]: object
body.items[].id: u64
body.items[].unitPrice: f32
body.kind: one of, another name of pay
body.kind.both: list of 2
body.kind.both[0]: u8
body.kind.both[1]: i8
body.kind.card: object
body.kind.card.number: char
body.kind.cash: unit
body.kind.check: object
body.kind.check.number: u64
body.note: text, or null, optional
body.pair: list of 2
body.pair[0]: u8
body.pair[1]: text
body.pay: one of
body.pay.both: list of 2
body.pay.both[0]: u8
body.pay.both[1]: i8
body.pay.card: object
body.pay.card.number: char
body.pay.cash: unit
body.pay.check: object
body.pay.check.number: u64
body.to: text
body.unit: null
body.wait: object, no other fields
body.wait.nanos: u32
body.wait.secs: u64
";
    assert_eq!(shape::<Order>(), expected);
}

#[test]
fn what_is_no_object_has_a_shape_too() {
    assert_eq!(shape::<u8>(), "body: u8\n");
    assert_eq!(shape::<Option<Id>>(), "body: u64, or null\n");
    assert_eq!(shape::<Box<[String]>>(), "body: list\nbody[]: text\n");
    assert_eq!(shape::<HashSet<i64>>(), "body: list\nbody[]: i64\n");
    assert_eq!(shape::<BTreeMap<String, ()>>(), "body: map\nbody.*: null\n");
    assert_eq!(shape::<serde_json::Value>(), "body: anything\n");
}

#[derive(Deserialize)]
#[serde(tag = "type")]
#[expect(dead_code, reason = "only its type matters")]
enum Internal {
    B { x: u8 },
    A,
}

#[derive(Deserialize)]
#[serde(tag = "t", content = "c")]
#[expect(dead_code, reason = "only its type matters")]
enum Adjacent {
    A { x: u8 },
    B,
}

/// Looks like a variant with its name apart, and is none.
#[derive(Deserialize)]
#[expect(dead_code, reason = "only its type matters")]
struct Apart {
    t: Unit,
    c: serde_json::Value,
}

#[derive(Deserialize)]
enum Unit {
    A,
    B,
}

#[derive(Deserialize)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its type matters")]
enum Untagged {
    A { x: u8 },
    B(String),
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "only its type matters")]
struct Flat {
    a: u8,
    #[serde(flatten)]
    rest: Card,
}

#[test]
fn what_serde_hides_is_opaque_at_its_path() {
    assert_eq!(
        shape::<Internal>(),
        "body: object with type: A | B, such as {\"type\":\"A\"} {\"type\":\"B\",\"x\":1}\n"
    );
    assert_eq!(
        shape::<Vec<Internal>>(),
        "body: list\nbody[]: object with type: A | B, such as {\"type\":\"A\"} {\"type\":\"B\",\"x\":1}\n"
    );
    let adjacent = "body: variant in t and content in c\nbody.A: anything, such as {\"x\":1}\nbody.B: unit\n";
    assert_eq!(shape::<Adjacent>(), adjacent);
    assert_eq!(shape::<Apart>(), "body: object\nbody.c: anything\nbody.t: one of\nbody.t.A: unit\nbody.t.B: unit\n");
    assert_eq!(shape::<Untagged>(), "body: anything, such as \"text\"\n");
    assert_eq!(shape::<Flat>(), "body: map, such as {\"a\":1,\"number\":\"1\"}\nbody.*: anything\n");
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "only its type matters")]
struct Tree {
    left: Option<Box<Tree>>,
    more: Vec<Tree>,
    by: HashMap<String, Tree>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "only its type matters")]
struct Chain(Option<Box<Chain>>);

#[derive(Deserialize)]
#[expect(dead_code, reason = "only its type matters")]
enum Expression {
    Number(f64),
    Sum(Box<Expression>, Box<Expression>),
    Not(Box<Expression>),
}

#[test]
fn a_type_within_itself_is_named_by_its_path() {
    assert_eq!(
        shape::<Tree>(),
        "body: object\nbody.by: map\nbody.by.*: as body\nbody.left: as body, or null, optional\nbody.more: list\n\
         body.more[]: as body\n"
    );
    assert_eq!(shape::<Chain>(), "body: as body, or null\n");
    assert_eq!(
        shape::<Vec<Expression>>(),
        "body: list\nbody[]: one of\nbody[].Not: as body[]\nbody[].Number: f64\nbody[].Sum: list of 2\n\
         body[].Sum[0]: as body[]\n"
    );
}

/// Has one name, and a different type with each parameter.
#[derive(Deserialize)]
#[expect(dead_code, reason = "only its type matters")]
struct Page<T> {
    item: T,
}

mod other {
    /// Has the name of another type, but does not contain itself.
    #[derive(serde::Deserialize)]
    #[expect(dead_code, reason = "only its type matters")]
    pub(super) struct Item {
        unit_price: super::Card,
    }
}

#[test]
fn types_of_one_name_are_told_apart() {
    assert_eq!(shape::<Page<Page<u8>>>(), "body: object\nbody.item: object\nbody.item.item: u8\n");
    assert_eq!(
        shape::<Page<other::Item>>(),
        "body: object\nbody.item: object\nbody.item.unit_price: object\nbody.item.unit_price.number: char\n"
    );
}

#[test]
fn each_change_is_another_shape_and_a_new_name_of_a_type_is_none() {
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its type matters")]
    struct Renamed {
        number: char,
    }
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its type matters")]
    struct More {
        number: char,
        more: Option<u8>,
    }
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its type matters")]
    struct Wider {
        number: String,
    }
    let card = ShapeId::of::<Card>();
    assert_eq!(ShapeId::of::<Renamed>(), card);
    assert_eq!(ShapeId::of::<Box<Card>>(), card);
    let others =
        [ShapeId::of::<More>(), ShapeId::of::<Wider>(), ShapeId::of::<Option<Card>>(), ShapeId::of::<Vec<Card>>()];
    let all: HashSet<_> = others.into_iter().chain([card]).collect();
    assert_eq!(all.len(), 5);
    // It is written into queues, so it must never change.
    assert_eq!(card.to_string(), "1-7dc897caf7959e33");
}

#[test]
fn an_id_is_read_as_it_is_written_and_nothing_else_is() {
    let id = ShapeId::of::<Order>();
    assert_eq!(id.to_string().parse(), Ok(id));
    assert_eq!("2-00000000000000ff".parse(), Ok(ShapeId { format: 2, hash: 255 }));
    for other in
        ["", "round", "1-ff", "1-00000000000000fg", "-00000000000000ff", "1-+0000000000000ff", "a-00000000000000ff"]
    {
        assert_eq!(other.parse::<ShapeId>(), Err(()), "{other}");
    }
}

/// Mishandles errors.
#[derive(Debug)]
struct Panics;

impl<'de> Deserialize<'de> for Panics {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(u8::deserialize(deserializer).map(|_| Self).expect("a number"))
    }
}

/// Panics when it is dropped.
struct Drops;

impl Drop for Drops {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

impl<'de> Deserialize<'de> for Drops {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Ok(Self)
    }
}

/// Continues after each error, until its list ends.
struct Stubborn(usize);

impl<'de> Deserialize<'de> for Stubborn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Stubborn;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Stubborn, A::Error> {
                let mut count = 0;
                loop {
                    match list.next_element::<Option<u8>>() {
                        Ok(None) => return Ok(Stubborn(count)),
                        Ok(Some(_)) | Err(_) => count += 1,
                    }
                }
            }
        }
        deserializer.deserialize_seq(All)
    }
}

/// Asks for itself endlessly.
struct Endless;

impl<'de> Deserialize<'de> for Endless {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Deeper<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Deeper<T> {
            type Value = Endless;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a newtype")
            }
            fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Endless, D::Error> {
                T::deserialize(deserializer).map(|_| Endless)
            }
        }
        deserializer.deserialize_newtype_struct("Endless", Deeper::<Endless>(std::marker::PhantomData))
    }
}

/// Refuses every value, with its own message.
struct Refuses;

impl<'de> Deserialize<'de> for Refuses {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom("no"))
    }
}

/// A list of this length, which may be none that any memory holds.
struct Long<const LEN: usize>;

impl<'de, const LEN: usize> Deserialize<'de> for Long<LEN> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All<const LEN: usize>;
        impl<'de, const LEN: usize> Visitor<'de> for All<LEN> {
            type Value = Long<LEN>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
        }
        deserializer.deserialize_tuple(LEN, All)
    }
}

/// Reads an object with this many numbers, and counts how often it is run.
struct Counted<const LEN: usize>;

static RUNS: AtomicUsize = AtomicUsize::new(0);

fn field_names(len: usize) -> &'static [&'static str] {
    static NAMES: OnceLock<Vec<&'static str>> = OnceLock::new();
    &NAMES.get_or_init(|| (0..500).map(|number| &*format!("field_{number:03}").leak()).collect())[..len]
}

impl<'de, const LEN: usize> Deserialize<'de> for Counted<LEN> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All<const LEN: usize>;
        impl<'de, const LEN: usize> Visitor<'de> for All<LEN> {
            type Value = Counted<LEN>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Counted<LEN>, A::Error> {
                let mut there = HashSet::new();
                while let Some((key, _)) = map.next_entry::<String, u64>()? {
                    there.insert(key);
                }
                match field_names(LEN).iter().find(|name| !there.contains(**name)) {
                    Some(missing) => Err(A::Error::missing_field(missing)),
                    None => Ok(Counted),
                }
            }
        }
        RUNS.fetch_add(1, Ordering::Relaxed);
        deserializer.deserialize_struct("Counted", field_names(LEN), All)
    }
}

/// The number of runs, and not the time, so that it is the same on each machine.
#[test]
fn a_wide_body_is_read_a_few_times_for_each_field() {
    let mut runs = Vec::new();
    for shape in [Shape::of::<Counted<10>>, Shape::of::<Counted<100>>, Shape::of::<Counted<500>>] {
        RUNS.store(0, Ordering::Relaxed);
        let shape = shape();
        runs.push(RUNS.load(Ordering::Relaxed));
        assert!(shape.0.values().all(|node| !node.unseen), "{shape}");
    }
    assert!(runs[0] <= 50 && runs[1] <= 500 && runs[2] <= 2500, "{runs:?}");
}

#[test]
fn hostile_types_end_and_are_opaque() {
    assert_eq!(shape::<Panics>(), "body: u8\n");
    assert_eq!(shape::<Page<Panics>>(), "body: object, unseen\nbody.item: u8\n");
    assert_eq!(shape::<Drops>(), "body: anything, unseen\n");
    assert_eq!(shape::<Stubborn>(), "body: list\nbody[]: u8, or null\n");
    assert_eq!(shape::<Endless>(), "body: as body\n");
    assert_eq!(shape::<Page<Refuses>>(), "body: object\nbody.item: anything, unseen\n");
    assert_eq!(shape::<Long<{ usize::MAX }>>(), "body: anything, unseen\n");
    assert_eq!(shape::<Page<Long<1025>>>(), "body: object\nbody.item: anything, unseen\n");
    assert_eq!(Stubborn(1).0, 1);
}

#[test]
fn a_type_with_too_many_parts_ends_as_opaque() {
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its type matters")]
    struct Wide<T> {
        a: T,
        b: T,
        c: T,
        d: T,
        e: T,
        f: T,
        g: T,
        h: T,
    }
    type Wider = Wide<Wide<Wide<Wide<Wide<u8>>>>>;
    let lines = shape::<Wider>();
    // Eight to the power of five leaves, of which only a part is seen.
    let count = |end: &str| lines.lines().filter(|line| line.ends_with(end)).count();
    assert_eq!((count(": u8") > 0, count(": anything") > 0), (false, true), "{}", count(""));
    assert!(count("") < 40_000, "{}", count(""));
    assert_eq!(Shape::of::<Wider>().id(), ShapeId::of::<Wider>());
}

/// The types in the table of docs/deploys.md.
#[expect(dead_code, reason = "only the types matter")]
mod documented {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer};

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
    field!(With: #[serde(deserialize_with = "number_or_text")] n: u64);
    field!(List: items: Vec<Item>);
    field!(Map: by: BTreeMap<String, u32>);
    field!(NumberKeys: by: BTreeMap<u32, Item>);
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
    use documented::*;

    let types = [
        ("`to: String`", shape::<Text>()),
        ("`n: u32`", shape::<Number>()),
        ("`id: Id`, a newtype of `u64`", shape::<OfNewtype>()),
        ("`n: NonZeroU32`", shape::<Bounded>()),
        ("`note: Option<String>`", shape::<Optional>()),
        ("`#[serde(default)] n: u32`", shape::<documented::Default>()),
        ("`#[serde(alias = \"m\")] n: u32`", shape::<Alias>()),
        ("`#[serde(deny_unknown_fields)]`", shape::<Strict>()),
        ("`at: DateTime<Utc>`", shape::<Time>()),
        ("`id: Uuid`", shape::<OfUuid>()),
        ("`price: Decimal`", shape::<OfDecimal>()),
        ("`#[serde(deserialize_with = \"…\")] n: u64`, which reads texts too", shape::<With>()),
        ("`items: Vec<Item>`", shape::<List>()),
        ("`by: BTreeMap<String, u32>`", shape::<Map>()),
        ("`by: BTreeMap<u32, Item>`", shape::<NumberKeys>()),
        ("`pair: (u8, String)`", shape::<Pair>()),
        ("`enum Pay { Cash, Card { number: u64 } }`", shape::<OfPay>()),
        ("`enum Pay { Both(u8, i8) }`", shape::<OfBoth>()),
        ("`#[serde(tag = \"type\")]`", shape::<OfTyped>()),
        ("`#[serde(tag = \"type\", content = \"of\")]`", shape::<OfApart>()),
        ("`#[serde(untagged)]`", shape::<OfEither>()),
        ("`#[serde(flatten)]`", shape::<Outer>()),
        ("`#[serde(try_from = \"String\")]`, which refuses all that pulpo tries", shape::<OfSku>()),
        ("`left: Option<Box<Tree>>`", shape::<documented::Tree>()),
    ];
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/deploys.md")).expect("the page");
    let table = page.split("| in the type |").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("the table");
    let rows: Vec<_> = table.lines().skip(2).filter_map(|row| row.strip_prefix("| ")?.rsplit_once(" | `")).collect();
    assert_eq!(rows.len(), types.len());
    for ((snippet, line), (known, shape)) in rows.into_iter().zip(types) {
        let line = line.trim_end_matches("` |").replace("\\|", "|");
        assert_eq!(snippet, known);
        assert!(shape.lines().any(|known| known == line), "{line} is not among\n{shape}");
    }
}

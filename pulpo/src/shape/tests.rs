use std::collections::{BTreeMap, HashMap, HashSet};

use serde::de::{Error as _, SeqAccess, Visitor};
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
body.flags: list of 3, such as [true,true,true]
body.flags[0]: bool
body.items: list
body.items[]: object
body.items[].id: u64
body.items[].unitPrice: f32
body.kind: one of, another name of pay
body.kind.both: list of 2, such as [1,1]
body.kind.both[0]: u8
body.kind.card: object
body.kind.card.number: char
body.kind.cash: unit
body.kind.check: object
body.kind.check.number: u64
body.note: text, or null, optional
body.pair: list of 2, such as [1,\"text\"]
body.pair[0]: u8
body.pay: one of
body.pay.both: list of 2, such as [1,1]
body.pay.both[0]: u8
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
    assert_eq!(shape::<Adjacent>(), "body: object\nbody.c: anything\nbody.t: one of\nbody.t.A: unit\nbody.t.B: unit\n");
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

#[test]
fn hostile_types_end_and_are_opaque() {
    assert_eq!(shape::<Panics>(), "body: u8\n");
    assert_eq!(shape::<Page<Panics>>(), "body: object\nbody.item: u8\n");
    assert_eq!(shape::<Drops>(), "body: anything\n");
    assert_eq!(shape::<Stubborn>(), "body: list\nbody[]: u8, or null\n");
    assert_eq!(shape::<Endless>(), "body: as body\n");
    assert_eq!(shape::<Page<Refuses>>(), "body: object\nbody.item: anything\n");
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

/// The table of docs/deploys.md: how each kind of type is seen.
#[test]
fn the_documented_lines_are_those_of_such_types() {
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its type matters")]
    struct Plain {
        to: String,
        n: u32,
        note: Option<String>,
        at: chrono::DateTime<chrono::Utc>,
        items: Vec<Card>,
        by: BTreeMap<String, u32>,
        pair: (u8, String),
        pay: Paid,
    }
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its type matters")]
    enum Paid {
        Cash,
        Card { number: u64 },
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its type matters")]
    struct Named {
        #[serde(alias = "m")]
        n: u32,
    }
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its type matters")]
    struct Bounded {
        n: std::num::NonZeroU32,
    }
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its type matters")]
    struct Default {
        #[serde(default)]
        n: u32,
    }
    #[derive(Deserialize)]
    #[serde(tag = "type")]
    #[expect(dead_code, reason = "only its type matters")]
    enum Typed {
        A { x: u8 },
        B,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    #[expect(dead_code, reason = "only its type matters")]
    enum Either {
        A(u8),
        B(u16),
    }
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its type matters")]
    struct Hidden {
        by: Typed,
        any: Either,
    }
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its type matters")]
    struct Outer {
        a: u8,
        #[serde(flatten)]
        inner: Inner,
    }
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its type matters")]
    struct Inner {
        b: u8,
    }
    let all = [
        shape::<Plain>(),
        shape::<Named>(),
        shape::<Bounded>(),
        shape::<Default>(),
        shape::<Hidden>(),
        shape::<Outer>(),
        shape::<Tree>(),
    ]
    .concat();
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/deploys.md")).expect("the page");
    let table = page.split("| in the type |").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("the table");
    let lines: Vec<_> =
        table.lines().skip(2).filter_map(|row| Some(row.rsplit("` | `").next()?.trim_end_matches("` |"))).collect();
    assert_eq!(lines.len(), 16, "{lines:?}");
    for line in lines {
        let line = line.replace("\\|", "|");
        assert!(all.lines().any(|known| known == line), "{line} is not among\n{all}");
    }
}

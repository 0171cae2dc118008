use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Deserialize;

use super::*;

mod documented;
pub(super) mod foreign;
mod hostile;

fn shape<B: DeserializeOwned>() -> String {
    let shape = Shape::of::<B>();
    let lines = shape.to_string();
    // A snapshot of it is read, unless the type has no value.
    #[cfg(feature = "cli")]
    for (line, (path, node)) in lines.lines().zip(&shape.0) {
        assert_eq!(read_line(line).as_ref(), Some(&(path.clone(), node.clone())), "{lines}");
    }
    #[cfg(feature = "cli")]
    assert!(shape.fault().is_none() || lines == "body: as body\n", "{lines}");
    lines
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
body.by: map, such as {\"1\":0.5} {\"0\":0.5} {\"4294967295\":0.5}
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
fn bodies_other_than_objects_have_a_shape_too() {
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

/// Looks like a variant with its name apart, but is not one.
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
fn a_part_that_serde_hides_is_opaque_at_its_path() {
    let internal = "object with type: A | B, such as {\"type\":\"A\"} {\"type\":\"B\",\"x\":1} {\"type\":\"B\",\"x\":0} \
                    {\"type\":\"B\",\"x\":255}";
    assert_eq!(shape::<Internal>(), format!("body: {internal}\n"));
    assert_eq!(shape::<Vec<Internal>>(), format!("body: list\nbody[]: {internal}\n"));
    let adjacent = "body: variant in t and content in c\n\
                    body.A: anything, such as {\"x\":1} {\"x\":0} {\"x\":255}\nbody.B: unit\n";
    assert_eq!(shape::<Adjacent>(), adjacent);
    assert_eq!(shape::<Apart>(), "body: object\nbody.c: anything\nbody.t: one of\nbody.t.A: unit\nbody.t.B: unit\n");
    assert_eq!(shape::<Untagged>(), "body: anything, such as \"text\" \"\" \"Ä \\\"\\n\"\n");
    let flat = "map, such as {\"a\":1,\"number\":\"1\"} {\"a\":0,\"number\":\"1\"} {\"a\":255,\"number\":\"1\"}";
    assert_eq!(shape::<Flat>(), format!("body: {flat}\nbody.*: anything\n"));
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
fn types_with_one_name_are_distinguished() {
    assert_eq!(shape::<Page<Page<u8>>>(), "body: object\nbody.item: object\nbody.item.item: u8\n");
    assert_eq!(
        shape::<Page<other::Item>>(),
        "body: object\nbody.item: object\nbody.item.unit_price: object\nbody.item.unit_price.number: char\n"
    );
}

#[test]
fn each_change_is_another_shape_and_a_new_name_of_a_type_is_not() {
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

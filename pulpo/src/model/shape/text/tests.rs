use proptest::prelude::*;
use serde_json::json;

use super::*;

/// Names that could be taken for a part of the line around them.
fn names() -> impl Strategy<Value = String> {
    let parts = prop_oneof![
        Just(", ".to_owned()),
        Just(": ".to_owned()),
        Just(" | ".to_owned()),
        Just(", such as 1".to_owned()),
        Just(" and content in ".to_owned()),
        Just("\\".to_owned()),
        Just("\"".to_owned()),
        Just("[0]".to_owned()),
        Just(".".to_owned()),
        Just("\n".to_owned()),
        ".{0,4}",
        "[a-z]{1,3}",
    ];
    prop::collection::vec(parts, 0..4).prop_map(|parts| parts.concat())
}

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        names().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (names(), names()).prop_map(|(key, value)| json!({ key: [value, null] })),
    ]
}

fn paths() -> impl Strategy<Value = String> {
    let steps = prop_oneof![names().prop_map(|name| field(&name)), Just("[]".to_owned()), Just("[1]".to_owned())];
    prop::collection::vec(steps, 0..4).prop_map(|steps| format!("body{}", steps.concat()))
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Value("u64".into())),
        Just(Kind::Object),
        Just(Kind::List),
        Just(Kind::Map),
        (0..MOST_PARTS).prop_map(Kind::Tuple),
        (names(), prop::collection::vec(names(), 1..3)).prop_map(|(tag, variants)| Kind::Tagged { tag, variants }),
        (names(), names()).prop_map(|(tag, content)| Kind::Adjacent { tag, content }),
        paths().prop_map(Kind::Recursive),
    ]
}

fn nodes() -> impl Strategy<Value = Node> {
    let values = || prop::collection::vec(values(), 0..3);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (kinds(), flags, prop::option::of(0..=LONG), prop::option::of(names()), values(), values()).prop_map(
        |(kind, (nullable, optional, strict, unseen), most, alias_of, not, examples)| Node {
            kind,
            nullable,
            optional,
            strict,
            most,
            alias_of,
            not,
            examples,
            unseen,
        },
    )
}

proptest! {
    #[test]
    fn any_line_is_read_as_it_was_written(path in paths(), node in nodes()) {
        let line = format!("{path}: {node}");
        prop_assert!(!line.contains('\n'), "{}", line);
        prop_assert_eq!(read_line(&line), Some((path, node)), "{}", line);
    }

    #[test]
    fn a_step_with_any_name_is_the_last_one_of_its_path(path in paths(), name in names()) {
        let step = field(&name);
        let whole = format!("{path}{step}");
        prop_assert_eq!(last_step(&whole), Some((path.as_str(), step.as_str())));
        let shape = Shape([(whole.clone(), Node::new(Kind::Opaque, false))].into());
        prop_assert_eq!(shape.fields(&path), [(name, whole)]);
    }
}

#[test]
fn values_are_written_with_sorted_keys() {
    let value = json!({ "b": [{ "y": 1, "x": null }], "a": "\u{7}", "t": 0.5 });
    assert_eq!(sorted(&value), r#"{"a":"\u0007","b":[{"x":null,"y":1}],"t":0.5}"#);
    let first = BTreeSet::from(["t".to_owned()]);
    assert_eq!(written(&value, &first), r#"{"t":0.5,"a":"\u0007","b":[{"x":null,"y":1}]}"#);
}

#[test]
fn a_line_of_another_form_is_refused() {
    for line in [
        "body",
        "body:",
        "body: ",
        "body: what is this?",
        "body: u8, sometimes",
        "body: u8, not",
        "body: u8, such as",
        "body: u8, such as {",
        "body: list of 1025",
        "body: list of -1",
        "body: list, at most",
        "body: list, at most 3",
        "body: list, at most 3 bytes",
        "body: text, at most three bytes",
        "body: object with t",
        "body: variant in t",
        "body: u8, another name of a.b",
        "body: stringy",
        "body: te",
        "body: u6",
        "body: U8",
        "body: u8 ",
        "body : u8",
        "  body: u8",
        "bodies: u8",
        "body.: u8",
        "body.id : u8",
        "body.a b: u8",
        "body.a..b: u8",
        "body.a[x]: u8",
        "body.a[: u8",
        "body.\"a: u8",
        "nobody.a: u8",
        "body: as nowhere",
        "body: as body.",
        "body: text, at most 1025 bytes",
        "body: text, at most 99999999999 bytes",
        "body: list, at most 18446744073709551616 parts",
    ] {
        assert_eq!(read_line(line), None, "{line}");
    }
    // Deeper than a shape is.
    for (steps, is_read) in [(65, true), (66, false), (100_000, false)] {
        for line in [format!("body{}: u8", ".a".repeat(steps)), format!("body: as body{}", "[]".repeat(steps))] {
            assert_eq!(read_line(&line).is_some(), is_read, "{steps}");
        }
    }
}

/// Reads lines, and returns the path of a fault in them.
fn fault(lines: &str) -> Option<String> {
    let read = |line| read_line(line).unwrap_or_else(|| panic!("{line}"));
    Shape(lines.lines().map(read).collect()).fault().map(|(path, _)| path)
}

#[test]
fn a_line_that_cannot_stand_beside_the_others_is_found() {
    for (lines, path) in [
        ("body.id: u8", "body.id"),
        ("body: object\nbody.a.b: u8", "body.a.b"),
        ("body: as body", "body"),
        ("body: as body.nowhere", "body"),
        ("body: object\nbody.a: as body.a", "body.a"),
        ("body: object\nbody.a: as body.b\nbody.b: as body.a", "body.a"),
        ("body: object\nbody.a: as body.b\nbody.b: object", "body.a"),
        ("body: object\nbody.a: as body.a.b\nbody.a.b: object", "body.a"),
        ("body: object\nbody.ab: as body.a\nbody.a: object", "body.ab"),
        ("body: one of", "body"),
        ("body: object\nbody.a: one of, optional", "body.a"),
        ("body: variant in t and content in c", "body"),
        ("body: list\nbody[]: as body, or null\nbody[].a: as body[]", "body[].a"),
        // Lines that are lacking.
        ("body: list", "body"),
        ("body: map", "body"),
        ("body: list of 2", "body"),
        ("body: list of 2\nbody[1]: u8", "body"),
        ("body: object\nbody.a: list, optional\nbody.b: u8", "body.a"),
        // Parts of what has none, or others.
        ("body: u8\nbody.a: u8", "body.a"),
        ("body: text\nbody[]: u8", "body[]"),
        ("body: map\nbody.*: u8\nbody.a: u8", "body.a"),
        ("body: object\nbody.*: u8", "body.*"),
        ("body: list\nbody[]: u8\nbody[0]: u8", "body[0]"),
        ("body: list of 2\nbody[0]: u8\nbody[2]: u8", "body[2]"),
        ("body: one of\nbody.A: unit\nbody.A.x: u8", "body.A.x"),
        // Names of no field.
        ("body: object\nbody.a: u8, another name of b", "body.a"),
        ("body: object\nbody.a: u8, another name of a", "body.a"),
        ("body: object\nbody.a: u8, another name of b\nbody.b: u8, another name of a", "body.a"),
    ] {
        assert_eq!(fault(lines).as_deref(), Some(path), "{lines}");
    }
    for lines in [
        "body: object\nbody.a: list\nbody.a[]: as body\nbody.b: as body, or null",
        "body: as body, or null",
        "body: one of\nbody.A: unit",
        "body: one of, unseen",
        "body: object, unseen\nbody.a: one of",
        "body: list of 0",
        "body: object\nbody.\"*\": u8",
        "body: object\nbody.a: u8, another name of b\nbody.b: u8",
        "body: map\nbody.*: object\nbody.*.\"a.b\": u8\nbody.*.\"*\": list of 2\nbody.*.\"*\"[0]: u8",
    ] {
        assert_eq!(fault(lines), None, "{lines}");
    }
}

#[test]
fn the_lines_of_each_type_are_accepted() {
    #[derive(serde::Deserialize)]
    #[expect(dead_code, reason = "only its type matters")]
    struct Own(Option<Box<Own>>);
    #[derive(serde::Deserialize)]
    enum Never {}
    #[derive(serde::Deserialize)]
    #[expect(dead_code, reason = "only its type matters")]
    struct Values(
        (bool, i8, i16, i32, i64, i128, u8, u16, u32),
        (u64, u128, f32, f64, char, String, ()),
        serde::de::IgnoredAny,
        crate::shape::tests::foreign::Bytes<4>,
    );
    let of_kinds: BTreeSet<_> = Shape::of::<Values>()
        .0
        .into_values()
        .map(|node| node.kind)
        .filter_map(|kind| match kind {
            Kind::Value(name) => Some(name),
            _ => None,
        })
        .collect();
    let missing: Vec<_> = VALUES.iter().filter(|name| !of_kinds.contains(**name)).collect();
    // That of a variant without content.
    assert_eq!(missing, [&"unit"]);
    for shape in [
        Shape::of::<Values>(),
        Shape::of::<Own>(),
        Shape::of::<Never>(),
        Shape::of::<Option<Never>>(),
        Shape::of::<Vec<Never>>(),
        Shape::of::<(u8, Result<u8, Never>)>(),
        Shape::of::<BTreeMap<String, Option<Never>>>(),
    ] {
        let lines = shape.to_string();
        assert_eq!(fault(&lines), None, "{lines}");
    }
}

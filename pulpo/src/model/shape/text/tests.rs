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
    (kinds(), flags, prop::option::of(0..2000_usize), prop::option::of(names()), values(), values()).prop_map(
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
    ] {
        assert_eq!(read_line(line), None, "{line}");
    }
}

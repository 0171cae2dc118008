//! The forms that an argument may have, tested with a table that contains each of them.

use super::{Arguments, RequestType, Written};
use crate::faults::Faults;
use crate::table::{Forms, Known, Owner};

const fn with(name: &'static str, example: &'static str, forms: Forms) -> Known {
    Known { name, example, owner: Owner::Job, forms, repeated: false }
}

const WORD_OR_LIST: Forms = Forms { word: true, list: true, ..Forms::NONE };
const VALUE_OR_LIST: Forms = Forms { value: true, list: true, ..Forms::NONE };
const LIST_AND_VALUE: Forms = Forms { list_and_value: true, ..Forms::NONE };

const TABLE: &[Known] = &[
    with("queue", r#"queue = "mail""#, Forms::VALUE),
    with("rate_by", r#"rate_by(tenant) = "10/1s""#, LIST_AND_VALUE),
    with("unique", "unique(account_id)", WORD_OR_LIST),
    with("cron", r#"cron = "0 3 * * *""#, VALUE_OR_LIST),
];

/// Returns the arguments as parsed, and the texts of the faults.
fn parsed(arguments: &str) -> (Vec<String>, Vec<String>) {
    let mut faults = Faults::default();
    let parsed = Arguments::parse(arguments.parse().expect("tokens"), TABLE, &mut faults);
    let name = match parsed.request_type {
        RequestType::Written(name) => Some(name.value()),
        RequestType::Missing | RequestType::Faulty => None,
    };
    let named = parsed.named.into_iter().map(|argument| {
        let written = match argument.written {
            Written::Word => String::new(),
            Written::Value(value) => format!("={value}"),
            Written::List(group) => format!("({})", group.stream()),
            Written::ListAndValue(group, value) => format!("({})={value}", group.stream()),
        };
        format!("{}{written}", argument.name)
    });
    let named = name.into_iter().chain(named);
    (named.map(squeezed).collect(), faults.iter().map(|fault| squeezed(fault.to_string())).collect())
}

/// Removes the spaces between tokens, which differ between compiler versions.
fn squeezed(text: String) -> String {
    ["(", ")", "*", "/", ",", ".", "::", "["]
        .iter()
        .fold(text, |text, token| text.replace(&format!(" {token}"), token).replace(&format!("{token} "), token))
}

#[test]
fn an_argument_is_a_word_a_value_or_a_list() {
    let (read, faults) = parsed(r#""send", unique, queue = "mail", cron(*/5 25 * * fun), cron = "1 2 3 4 5""#);
    assert_eq!(faults, [""; 0]);
    assert_eq!(read, ["send", "unique", "queue=\"mail\"", "cron(*/5 25**fun)", "cron=\"1 2 3 4 5\""]);
    let (read, faults) = parsed("unique(account_id, address.city), queue = x::y");
    assert_eq!(faults, [""; 0]);
    assert_eq!(read, ["unique(account_id,address.city)", "queue=x::y"]);
    let (read, faults) = parsed(r#"rate_by(tenant) = "10/1s", unique"#);
    assert_eq!(faults, [""; 0]);
    assert_eq!(read, ["rate_by(tenant)=\"10/1s\"", "unique"]);
}

#[test]
fn another_form_is_refused_with_the_right_one() {
    for (written, fault) in [
        ("unique = true", "expected `unique(account_id)`, got `unique = true`"),
        ("queue", "expected `queue = \"mail\"`, got `queue`"),
        ("queue(\"mail\")", "expected `queue = \"mail\"`, got `queue(\"mail\")`"),
        ("cron", "expected `cron = \"0 3 * * *\"`, got `cron`"),
        ("cron[1]", "expected `cron = \"0 3 * * *\"`, got `cron[1]`"),
        ("queue =", "expected a value after `queue =`: write `queue = \"mail\"`"),
    ] {
        let fault = squeezed(fault.to_owned());
        assert_eq!(parsed(&format!("\"send\", {written}")).1, [&*fault], "{written}");
        assert_eq!(parsed(written).1, [&*fault], "{written} as the first");
    }
}

#[test]
fn a_missing_comma_is_one_fault_and_hides_no_argument() {
    for (written, token, count) in [
        (r#""send" queue = "mail""#, "queue", 2),
        (r#""send", queue = "mail" unique"#, "unique", 3),
        (r#""send", unique cron = "x""#, "cron", 3),
        (r#""send", unique(a) queue = "x""#, "queue", 3),
        (r#""send", queue = "mail" unique(a), cron = "x""#, "unique", 4),
    ] {
        let (read, faults) = parsed(written);
        assert_eq!(faults.first(), Some(&format!("expected a comma before `{token}`")), "{written}");
        assert_eq!(read.len(), count, "{written}: {read:?}");
    }
    let (read, faults) = parsed(r#""send"; queue = "mail""#);
    assert_eq!(read.len(), 2);
    assert_eq!(faults, [squeezed("expected a comma between two arguments, got `;`".to_owned())]);
}

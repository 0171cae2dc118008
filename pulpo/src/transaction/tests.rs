use std::time::Duration;

use super::row::Route;
use super::*;

fn prepared(queue: Option<InDatabase>, has_outbox: bool) -> Prepared {
    let mut message = NewMessage::new("ma\"il", "greet", r#"{"header":{"request_type":"greet"},"body":{}}"#);
    message.ttr = Duration::from_millis(1500);
    Prepared::new(message, queue, has_outbox)
}

#[test]
fn a_row_is_the_message_with_its_queue_and_ttr_beside_it() {
    let job = prepared(None, false);
    assert_eq!(job.message(), r#"{"queue":"ma\"il","ttr":1500,"header":{"request_type":"greet"},"body":{}}"#);
    let route = Route::read(job.message());
    assert_eq!(route, Route { queue: Some("ma\"il".to_owned()), ttr: Some(Duration::from_millis(1500)) });
}

#[test]
fn a_row_that_somebody_else_wrote_may_say_less_or_nonsense() {
    for text in [
        r#"{"header": {"request_type": "greet"}}"#,
        r#"{"queue": "", "ttr": 0}"#,
        r#"{"queue": 5, "ttr": "soon"}"#,
        r#"{"queue": null, "ttr": -1}"#,
        "[1]",
        "not JSON",
        "",
    ] {
        assert_eq!(Route::read(text), Route::default(), "{text}");
    }
}

#[test]
fn a_queue_in_the_database_is_published_to_unless_an_outbox_is_configured() {
    let queue = InDatabase::new("shop", "jobs");
    assert!(prepared(Some(queue.clone()), false).sql().starts_with("SELECT \"jobs\".publish("));
    assert_eq!(prepared(Some(queue.clone()), true).sql(), INSERT);
    assert_eq!(prepared(None, false).sql(), INSERT);
    assert!(queue.is_in(Some("shop"), false) && queue.is_in(Some("renamed"), true));
    assert!(!queue.is_in(Some("other"), false) && !queue.is_in(None, true));
}

#[test]
fn the_name_of_a_schema_cannot_leave_its_quotes() {
    let queue = InDatabase::new("shop", r#"a"b'c"#);
    assert!(queue.statement().contains(r#""a""b'c".publish("#));
    assert!(queue.question().contains("'a\"b''c'"));
}

#[test]
fn only_a_missing_table_of_ours_is_told_apart() {
    let dialect = Dialect::Sqlite;
    let said = |text: &str| TransactionError::new(text.into(), dialect);
    assert!(matches!(said("no such table: pulpo_outbox"), TransactionError::NoTable { .. }));
    assert!(matches!(said(r#"relation "pulpo_outbox" does not exist"#), TransactionError::NoTable { .. }));
    assert!(matches!(said("no such table: orders"), TransactionError::Refused(_)));
    assert!(matches!(said("table pulpo_outbox is locked"), TransactionError::Refused(_)));
}

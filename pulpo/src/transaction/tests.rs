use std::time::Duration;

use super::row::Route;
use super::*;
use crate::queue::LimitKeys;

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
    let expected = Route { queue: Some("ma\"il".to_owned()), ttr: Some(Duration::from_millis(1500)), limit_keys: None };
    assert_eq!(route, expected);
}

#[test]
fn a_row_keeps_the_keys_of_limits() {
    let keys = LimitKeys::new(Some("1:[\"a\\n\"]".to_owned()), Some("1:[7]".to_owned()));
    let message = NewMessage::new("mail", "greet", r#"{"header":{"request_type":"greet"},"body":{}}"#);
    let job = Prepared::new(message.limit_keys(keys.clone()), None, false);
    assert_eq!(Route::read(job.message()).limit_keys, Some(keys));
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
    assert!(prepared(Some(queue.clone()), false).sql().contains("LATERAL \"jobs\".publish_job("));
    assert_eq!(prepared(Some(queue.clone()), true).sql(), INSERT);
    assert_eq!(prepared(None, false).sql(), INSERT);
    assert!(queue.is_in(Some("shop"), false) && queue.is_in(Some("renamed"), true));
    assert!(!queue.is_in(Some("other"), false) && !queue.is_in(None, true));
}

#[test]
fn the_name_of_a_schema_cannot_leave_its_quotes() {
    let queue = InDatabase::new("shop", r#"a"b'c"#);
    assert!(queue.statement().contains(r#""a""b'c".publish_job("#));
    assert!(queue.question().contains("'a\"b''c'"));
}

#[test]
fn only_a_missing_table_of_ours_is_recognised() {
    let dialect = Dialect::Sqlite;
    let said = |text: &str| TransactionError::new(text.into(), dialect);
    assert!(matches!(said("no such table: pulpo_outbox"), TransactionError::NoTable { .. }));
    assert!(matches!(said(r#"relation "pulpo_outbox" does not exist"#), TransactionError::NoTable { .. }));
    assert!(matches!(said("no such table: orders"), TransactionError::Refused(_)));
    assert!(matches!(said("table pulpo_outbox is locked"), TransactionError::Refused(_)));
}

#[test]
fn a_duplicate_is_recognised_whatever_the_client_adds() {
    let said = |text: &str| TransactionError::new(text.into(), Dialect::Postgres);
    for text in ["db error: ERROR: message 42 has the same unique key", "message 42 has the same unique key (23505)"] {
        assert!(matches!(said(text), TransactionError::Duplicate { id, .. } if id.as_str() == "42"), "{text}");
    }
    for text in ["message x has the same unique key", "duplicate key value violates unique constraint \"orders_key\""] {
        assert!(matches!(said(text), TransactionError::Refused(_)), "{text}");
    }
}

//! Bodies on their whole path: published, stored by the queue, decoded for the handler. A body that
//! could not be decoded there is not published.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fmt::Debug;

use pulpo::queue::Filter as Stored;
use pulpo::testing::TestPulpo;
use pulpo::{Config, Context, Message, Outcome, PublishError, Pulpo, State};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::jobs::Board;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Filter {
    all: Option<bool>,
}

/// An object would be a valid body for this type too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Search(Option<Filter>);

#[pulpo::handler("search")]
fn search(search: Search, board: State<Board>) {
    board.write(format!("{search:?}"));
}

/// The same type, for a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SearchMany(Option<Filter>);

#[pulpo::handler("search_many", batch = 10)]
fn search_many(all: Vec<SearchMany>, board: State<Board>) {
    all.iter().for_each(|search| board.write(format!("{search:?}")));
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Loose {
    Own { payload: Value },
    Number(f64),
    Any(Value),
}

#[pulpo::handler("untagged")]
fn loose(loose: Loose, board: State<Board>) {
    board.write(format!("{loose:?}"));
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Price {
    now: Option<f64>,
    before: BTreeMap<String, f64>,
    more: Value,
}

#[pulpo::handler("tariff")]
fn price(price: Price, context: &Context) -> Outcome {
    context.publish(Price { now: Some(f64::NAN), ..price })?;
    Ok(())
}

/// Serializes without a field that deserializing needs.
#[derive(Debug, Serialize, Deserialize)]
struct Sealed {
    #[serde(skip_serializing)]
    key: u8,
}

#[pulpo::handler("sealed")]
fn sealed(sealed: Sealed, board: State<Board>) {
    board.write(sealed.key.to_string());
}

/// Publishes these bodies and runs them. Returns what the handler saw of each.
fn arrived<J: pulpo::Job + Debug + Clone>(bodies: &[J]) -> (Vec<String>, Vec<String>) {
    let pulpo = TestPulpo::new().state(Board::default());
    pulpo.publish_all(bodies.to_vec()).unwrap();
    pulpo.drain();
    pulpo.assert_nothing_left();
    (pulpo.state_of::<Board>().lines(), bodies.iter().map(|body| format!("{body:?}")).collect())
}

#[test]
fn a_body_arrives_as_it_was_sent() {
    let filters = [None, Some(Filter::default()), Some(Filter { all: Some(true) })];
    let (arrived_as, went_as) = arrived(&filters.clone().map(Search));
    assert_eq!(arrived_as, went_as);
    let (arrived_as, went_as) = arrived(&filters.map(SearchMany));
    assert_eq!(arrived_as, went_as);
    let (arrived_as, went_as) = arrived(&[
        Loose::Own { payload: json!(null) },
        Loose::Own { payload: json!({"payload": 1}) },
        Loose::Number(0.1),
        Loose::Any(json!("a\0b")),
        Loose::Any(json!([{"payload": 1}])),
        Loose::Any(json!(null)),
    ]);
    assert_eq!(arrived_as, went_as);
}

#[test]
fn the_header_says_how_a_body_is_written_where_that_could_be_mistaken() {
    let pulpo = TestPulpo::new();
    pulpo.publish(Search(None)).unwrap();
    pulpo.publish(Search(Some(Filter::default()))).unwrap();
    pulpo.publish(Loose::Own { payload: json!(1) }).unwrap();
    let mut stored = pulpo.queue().list(&Stored::all()).unwrap();
    stored.sort_by_key(|stored| stored.id.to_string());
    let wire = |at: usize| serde_json::from_slice::<Value>(&stored[at].text).unwrap();
    assert_eq!((&wire(0)["header"]["body_wrapped"], &wire(0)["body"]), (&json!(true), &json!({"payload": null})));
    assert_eq!((&wire(1)["header"]["body_wrapped"], &wire(1)["body"]), (&json!(null), &json!({"all": null})));
    // Each message contains the shape of its body, for other versions.
    let shape = |at: usize| wire(at)["header"]["shape"].as_str().unwrap().to_owned();
    assert_eq!(shape(0), shape(1));
    assert_ne!(shape(0), shape(2));
    assert_eq!((&wire(2)["header"]["body_wrapped"], &wire(2)["body"]), (&json!(false), &json!({"payload": 1})));
}

/// Runs a message of `voucher` with a body that does not fit, and this body shape in its header.
/// Returns the run.
fn unfit(shape: &str) -> pulpo::testing::Run {
    let pulpo = TestPulpo::new().state(Board::default());
    let text = format!(r#"{{"header": {{"request_type": "voucher"{shape}}}, "body": {{"n": "1"}}}}"#);
    pulpo.queue().enqueue(vec![pulpo::queue::NewMessage::new("pulpo", "voucher", text)]).unwrap();
    pulpo.run_next().unwrap()
}

#[test]
fn a_body_that_does_not_fit_is_buried_at_once_unless_another_version_wrote_it() {
    let pulpo = TestPulpo::new();
    let sent = pulpo.publish(Receipt { n: 1 }).unwrap();
    let wire = pulpo.queue().peek(sent.id().unwrap()).unwrap().unwrap();
    let wire: Value = serde_json::from_slice(&wire.text).unwrap();
    let ours = wire["header"]["shape"].as_str().unwrap();
    let same = format!(r#", "shape": "{ours}""#);
    for shape in ["", &same, r#", "shape": "round""#, r#", "shape": 7"#, r#", "shape": null"#] {
        unfit(shape).assert_buried("body.n: invalid type: string");
    }
    for shape in ["1-00000000000000aa", "9-00000000000000aa"] {
        let run = unfit(&format!(r#", "shape": "{shape}""#));
        run.assert_retried_after(crate::jobs::SECOND);
        let reason = run.reason().unwrap();
        assert!(reason.starts_with("body.n: invalid type: string"), "{reason}");
        assert!(reason.contains(shape) && reason.contains(ours), "{reason}");
    }
}

/// Returns the error of publishing this body, after checking that the queue is empty.
fn refused<J: pulpo::Job + Debug + Clone>(body: J) -> String {
    let pulpo = Pulpo::new(Config::default().queue("memory:").unwrap()).unwrap();
    let error = pulpo.publish(body.clone()).unwrap_err();
    assert!(matches!(error, PublishError::Encode { .. } | PublishError::Unreadable { .. }), "{error:?}");
    assert!(pulpo.publish_all([body.clone(), body]).is_err());
    assert!(pulpo.queue().list(&Stored::all()).unwrap().is_empty());
    format!("{error}: {}", error.source().unwrap())
}

#[test]
fn a_body_that_no_worker_could_read_is_refused_with_its_path() {
    let price = |now, before: f64, more| Price { now, before: BTreeMap::from([("mon".to_owned(), before)]), more };
    let head = "the body of the job `tariff` cannot be written as JSON: ";
    let error = refused(price(Some(f64::NAN), 1.0, json!(1)));
    assert_eq!(error, format!("{head}body.now: NaN cannot be written as JSON"));
    let error = refused(price(None, f64::NEG_INFINITY, json!(1)));
    assert_eq!(error, format!("{head}body.before.mon: -inf cannot be written as JSON"));
    let deep = (0..130).fold(json!(1), |inner, _| json!([inner]));
    assert!(refused(price(None, 1.0, deep)).contains("expected at most 127 levels"));

    let pulpo = TestPulpo::new();
    let error = pulpo.publish(Sealed { key: 1 }).unwrap_err();
    assert!(matches!(error, PublishError::Unreadable { .. }), "{error:?}");
    assert!(error.source().unwrap().to_string().starts_with("body: missing field `key`"), "{error:?}");
    let unchecked = pulpo.publish(Message::new(Sealed { key: 1 }).unchecked()).unwrap();
    assert!(unchecked.id().is_some());
    let deep = (0..200).fold(json!(1), |inner, _| json!([inner]));
    let error = pulpo.publish(Message::new(Search(None)).header("deep", deep)).unwrap_err();
    assert!(error.source().unwrap().to_string().starts_with("header.deep[0]"), "{error:?}");
}

#[test]
fn a_handler_that_publishes_what_no_worker_could_read_has_failed() {
    let pulpo = TestPulpo::new();
    pulpo.publish(Price { now: None, before: BTreeMap::new(), more: json!(1) }).unwrap();
    let run = pulpo.run_next().unwrap();
    assert!(run.reason().unwrap().contains("body.now: NaN cannot be written as JSON"), "{run}");
}

#[derive(Debug, PartialEq, Serialize, Deserialize, pulpo::Job)]
#[job("voucher", alias = "slip")]
struct Receipt {
    n: u8,
}

#[pulpo::handler]
fn receipt(receipt: Receipt, board: State<Board>) {
    board.write(receipt.n.to_string());
}

/// Decodes a message of this request type.
fn read<B: serde::de::DeserializeOwned + 'static>(request_type: &str, body: &str) -> Result<B, String> {
    let text = format!(r#"{{"header":{{"request_type":"{request_type}"}},"body":{body}}}"#);
    Message::from_json(text.as_bytes()).map(Message::into_body).map_err(|error| error.to_string())
}

#[test]
fn a_message_of_another_job_is_refused() {
    for request_type in ["voucher", "slip"] {
        assert_eq!(read(request_type, r#"{"n": 1}"#), Ok(Receipt { n: 1 }));
    }
    let refused = |expected: &str, got: &str| format!("expected a message of the job `{expected}`, got one of `{got}`");
    assert_eq!(read::<Receipt>("refund", r#"{"n": 1}"#).unwrap_err(), refused("voucher", "refund"));
    assert_eq!(read::<Receipt>("Voucher", r#"{"n": 1}"#).unwrap_err(), refused("voucher", "Voucher"));
    assert_eq!(read::<Search>("voucher", "null").unwrap_err(), refused("search", "voucher"));
    assert_eq!(read("search", "null"), Ok(Search(None)));
    // A type that is not a job has no name to compare.
    assert_eq!(read("refund", r#"{"n": 1}"#), Ok(json!({"n": 1})));
    assert_eq!(read("refund", r#"{"all": true}"#), Ok(Filter { all: Some(true) }));
}

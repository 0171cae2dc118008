//! Status, results and retention, with a test clock.

use std::time::Duration;

use pulpo::queue::{Filter, MessageState, Retention};
use pulpo::testing::{Run, TestPulpo};
use pulpo::worker::WorkerOptions;
use pulpo::{Context, MessageId, Outcome, ResultError, Status};
use serde::{Deserialize, Serialize};
use serde_json::json;

#[derive(Serialize, Deserialize)]
struct Sum {
    of: Vec<u64>,
}

#[pulpo::handler("sum", max_attempts = 2, backoff = "1m")]
fn sum(sum: Sum, context: &Context) -> Outcome {
    let all = sum.of.len();
    for (done, number) in sum.of.iter().enumerate() {
        if *number == 0 && context.attempt() == 1 {
            context.result(&"of a run that fails")?;
            return Err("a zero".into());
        }
        context.progress((done + 1) as f64 / all as f64, format!("{} of {all}", done + 1));
    }
    if sum.of.is_empty() {
        return Err(pulpo::fatal("nothing to add"));
    }
    context.result("an earlier one")?;
    context.result(&json!({ "sum": sum.of.iter().sum::<u64>() }))?;
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct Large {
    bytes: usize,
}

#[pulpo::handler("sum_large")]
fn large(large: Large, context: &Context) -> Outcome {
    context.result(&"x".repeat(large.bytes)).map_err(pulpo::fatal)
}

#[derive(Serialize, Deserialize)]
struct Each {
    n: u64,
}

#[pulpo::handler("sum_each", batch = 10)]
fn each(all: Vec<Each>, context: &Context) -> Outcome {
    context.progress(1.0, format!("{} together", all.len()));
    Ok(context.result(&all.iter().map(|each| each.n).sum::<u64>())?)
}

/// Returns the last progress that a run has reported.
fn reported(run: &Run) -> Option<(f64, &str)> {
    run.progress().map(|progress| (progress.fraction, progress.text.as_str()))
}

#[test]
fn a_run_has_the_last_progress_that_its_handler_reported() {
    let pulpo = TestPulpo::new();
    publish(&pulpo, &[1, 2]);
    assert_eq!(reported(&pulpo.run_next().unwrap()), Some((1.0, "2 of 2")));
    publish(&pulpo, &[1, 2, 0, 3]);
    let failed = pulpo.run_next().unwrap();
    assert_eq!((failed.is_done(), reported(&failed)), (false, Some((0.5, "2 of 4"))));
    publish(&pulpo, &[]);
    assert_eq!(reported(&pulpo.run_next().unwrap()), None, "it reported nothing, and has nothing of the run before");
    // A batch reports for its first message.
    pulpo.publish_all([Each { n: 1 }, Each { n: 2 }]).unwrap();
    let batch = pulpo.run_next().unwrap();
    assert_eq!((reported(&batch), reported(&batch.rest()[0])), (Some((1.0, "2 together")), None));
    // Each run of several has its own.
    publish(&pulpo, &[1]);
    publish(&pulpo, &[1, 2, 3]);
    let runs = pulpo.drain();
    assert_eq!(runs.iter().map(reported).collect::<Vec<_>>(), [Some((1.0, "1 of 1")), Some((1.0, "3 of 3"))]);
}

fn kept(retention: Retention) -> TestPulpo {
    let mut options = WorkerOptions::default();
    options.retention = retention;
    TestPulpo::with_options(options)
}

fn publish(pulpo: &TestPulpo, of: &[u64]) -> MessageId {
    pulpo.publish(Sum { of: of.to_vec() }).unwrap().id().unwrap().clone()
}

#[test]
fn a_status_follows_a_job_to_its_end() {
    let pulpo = kept(Retention::default().done(Duration::from_secs(3600)));
    let (good, late, bad) = (publish(&pulpo, &[1, 2]), publish(&pulpo, &[0, 5]), publish(&pulpo, &[]));
    for id in [&good, &late, &bad] {
        assert_eq!(pulpo.status(id).unwrap(), Status::Waiting);
    }
    pulpo.drain();
    let Status::Done { result: Some(result), .. } = pulpo.status(&good).unwrap() else { panic!("it is done") };
    assert_eq!(result, json!({"sum": 3}));
    assert_eq!(pulpo.status(&late).unwrap(), Status::Waiting, "its next attempt");
    let Status::Buried { reason: Some(reason), .. } = pulpo.status(&bad).unwrap() else { panic!("it is buried") };
    assert_eq!(reason, "nothing to add");
    pulpo.work_for(Duration::from_secs(120));
    #[derive(Deserialize)]
    struct Answer {
        sum: u64,
    }
    // The default of this thread is the test's kit.
    assert_eq!(pulpo::status(&late).unwrap().result::<Answer>().unwrap().map(|answer| answer.sum), Some(5));
    assert!(pulpo.status(&bad).unwrap().is_over());
    for unknown in ["4711", "outbox/3", "spool/3", "what?"] {
        assert_eq!(pulpo.status(&unknown.into()).unwrap(), Status::Unknown);
    }
}

#[test]
fn a_job_is_running_in_the_eyes_of_its_handler() {
    #[derive(Serialize, Deserialize)]
    struct Look;
    #[pulpo::handler("sum_look")]
    fn look(_: Look, context: &Context) -> Outcome {
        let status = pulpo::status(context.id())?;
        if matches!(status, Status::Running { .. }) { Ok(()) } else { Err(pulpo::fatal(format!("{status:?}"))) }
    }
    let pulpo = TestPulpo::new();
    pulpo.publish(Look).unwrap();
    pulpo.run_next().unwrap().assert_done();
}

#[test]
fn done_messages_are_kept_for_the_set_time() {
    let pulpo = kept(Retention::default().done(Duration::from_secs(60)).buried(Duration::from_secs(600)));
    let (done, buried) = (publish(&pulpo, &[1]), publish(&pulpo, &[]));
    pulpo.drain();
    pulpo.advance(Duration::from_secs(59));
    assert!(matches!(pulpo.status(&done).unwrap(), Status::Done { .. }));
    pulpo.advance(Duration::from_secs(2));
    assert_eq!(pulpo.status(&done).unwrap(), Status::Unknown);
    pulpo.advance(Duration::from_secs(530));
    assert!(matches!(pulpo.status(&buried).unwrap(), Status::Buried { .. }));
    pulpo.work_for(Duration::from_secs(30));
    assert_eq!(pulpo.status(&buried).unwrap(), Status::Unknown);
}

#[test]
fn without_a_time_nothing_is_kept() {
    let pulpo = TestPulpo::new();
    let done = publish(&pulpo, &[1]);
    pulpo.drain();
    assert_eq!(pulpo.status(&done).unwrap(), Status::Unknown);
    assert!(pulpo.queue().list(&Filter::all().state(MessageState::Done)).unwrap().is_empty());
}

#[test]
fn a_result_has_a_limit_and_may_be_of_any_shape() {
    let pulpo = kept(Retention::default().done(Duration::from_secs(60)));
    let most = pulpo.publish(Large { bytes: (1 << 20) - 2 }).unwrap().id().unwrap().clone();
    let more = pulpo.publish(Large { bytes: 1 << 20 }).unwrap();
    pulpo.run_next().unwrap().assert_done();
    assert_eq!(pulpo.status(&most).unwrap().result::<String>().unwrap().map(|text| text.len()), Some((1 << 20) - 2));
    pulpo.run_next().unwrap().assert_buried("the result has 1048578 bytes as JSON, and at most 1048576 are kept");
    assert!(matches!(pulpo.status(more.id().unwrap()).unwrap(), Status::Buried { .. }));
    let context = pulpo.context().build();
    let refused = context.result(&std::collections::BTreeMap::from([((1, 2), 3)])).unwrap_err();
    assert!(matches!(refused, ResultError::Encode { .. }), "{refused}");
}

#[test]
fn the_result_of_a_batch_is_that_of_each_of_its_messages() {
    let pulpo = kept(Retention::default().done(Duration::from_secs(60)));
    let sent = pulpo.publish_all((1..=3).map(|n| Each { n })).unwrap();
    pulpo.drain();
    for message in sent {
        assert_eq!(pulpo.status(message.id().unwrap()).unwrap().result::<u64>().unwrap(), Some(6));
    }
}

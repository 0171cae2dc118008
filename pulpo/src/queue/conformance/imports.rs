//! Importing messages from another queue, where the queue can.

use std::time::Duration;

use chrono::{SubsecRound as _, TimeDelta};

use super::harness::Harness;
use super::steps::{HarnessExt as _, QUEUE, delay, drain, message};
use crate::keys::{OnDuplicate, Publication};
use crate::queue::{
    Attempt, AttemptOutcome, FailedRun, Filter, Imported, MessageState, NewMessage, QueueError, Unique,
};

/// Returns a message that was never run.
fn imported(message: NewMessage) -> Imported {
    Imported {
        message,
        has_key: false,
        attempts: 0,
        abandoned: 0,
        is_buried: false,
        enqueued_at: None,
        last_error: None,
        last_error_at: None,
        history: Vec::new(),
    }
}

pub(super) fn an_imported_message_keeps_its_past(harness: &dyn Harness) {
    let Some(import) = harness.queue().import() else { return };
    let (now, capabilities) = (harness.now(), harness.queue().capabilities());
    // Queues keep times to the microsecond.
    let hour_ago = (now - TimeDelta::hours(1)).trunc_subsecs(6);
    let run = FailedRun::new(hour_ago, Duration::from_secs(3), AttemptOutcome::Panicked);
    let history = vec![Attempt::new(2, run, Some("worker".to_owned()), "broken")];
    let buried = Imported {
        attempts: 2,
        abandoned: 1,
        is_buried: true,
        enqueued_at: Some(hour_ago),
        last_error: Some("broken".to_owned()),
        last_error_at: Some(hour_ago),
        history: history.clone(),
        ..imported(message("buried"))
    };
    let delayed = imported(delay(message("delayed"), harness.in_seconds(600)));
    let tried = Imported { attempts: 1, ..imported(message("tried")) };
    let enqueued = import.import(vec![buried, delayed, tried]).expect("import");
    assert!(enqueued.iter().all(|one| one.publication == Publication::New), "{enqueued:?}");
    let stored: Vec<_> = enqueued.iter().map(|one| harness.peek(&one.id)).collect();
    let states = [MessageState::Buried, MessageState::Delayed, MessageState::Ready];
    assert_eq!(stored.iter().map(|one| one.state).collect::<Vec<_>>(), states);
    assert_eq!(stored.iter().map(|one| one.attempts).collect::<Vec<_>>(), [2, 0, 1]);
    assert_eq!((&*stored[0].queue, stored[0].abandoned, stored[0].enqueued_at), (QUEUE, 1, Some(hour_ago)));
    if capabilities.burial_reasons {
        assert_eq!((stored[0].last_error.as_deref(), stored[0].last_error_at), (Some("broken"), Some(hour_ago)));
    }
    if capabilities.history {
        assert_eq!(stored[0].history, history);
    }
    assert_eq!(harness.queue().kick(&Filter::all()).expect("kick"), 1);
    let mut texts = drain(&mut harness.consumer());
    texts.sort();
    assert_eq!(texts, ["buried", "tried"]);
}

pub(super) fn an_import_is_all_or_nothing(harness: &dyn Harness) {
    let Some(import) = harness.queue().import() else { return };
    if !harness.queue().capabilities().unique_keys {
        return;
    }
    let keyed = |text: &str| message(text).unique(Unique::new("a").on_duplicate(OnDuplicate::Reject));
    let holder = harness.put(keyed("holder"));
    let held = Imported { has_key: true, ..imported(keyed("held elsewhere")) };
    let refused = import.import(vec![imported(message("free")), held.clone(), imported(message("free"))]);
    assert!(matches!(&refused, Err(QueueError::Duplicate { id }) if *id == holder), "{refused:?}");
    assert_eq!(harness.queue().list(&Filter::all()).expect("list").len(), 1);
    // A message that only remembers its key neither blocks others nor is blocked.
    let remembers = Imported { is_buried: true, attempts: 1, ..imported(keyed("remembers")) };
    import.import(vec![remembers]).expect("import");
    assert_eq!(drain(&mut harness.consumer()), ["holder"]);
    import.import(vec![held]).expect("import");
    assert_eq!(drain(&mut harness.consumer()), ["held elsewhere"]);
}

//! Requests of handlers that beanstalkd cannot keep.

use pulpo_tests::program::Sandbox;
use pulpo_tests::wait::until;

const WORKER: &str = env!("CARGO_BIN_EXE_long_lease_worker");

#[test]
fn a_snooze_counts_as_an_attempt_and_holding_back_is_only_logged() {
    let place = Sandbox::with_beanstalkd();
    let said = place.run(WORKER, &["publish", "busy", "--body", "{}"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let worker = place.start_with_log(place.command(WORKER, &["work", "--log-level", "warn"]), "log");
    until("the third run is done", || place.record().contains("busy 3"));
    for attempt in 1..=3 {
        assert_eq!(place.record().matches(&format!("busy {attempt}")).count(), 1, "{}", place.record());
    }
    let warned = "cannot hold back the jobs of a handler";
    until("each of them is logged", || place.log_named("log").matches(warned).count() == 3);
    assert!(place.log_named("log").contains("hold jobs back: it keeps no limits"), "{}", place.log_named("log"));
    worker.signal("TERM");
    assert_eq!(worker.end(), 0);
}

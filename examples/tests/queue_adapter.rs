//! The conformance suite on the adapter of the example, and the example on it.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use pulpo::clock::{Clock as _, ManualClock};
use pulpo::queue::QueueAdapter;
use pulpo::queue::conformance::Harness;
use pulpo_examples::line::Line;
use pulpo_tests::program::Sandbox;

/// What the suite needs: an empty queue, and a way to let time pass.
struct Test {
    queue: Line,
    clock: ManualClock,
}

impl Test {
    fn new() -> Self {
        let clock = ManualClock::at(Utc::now());
        Self { queue: Line::new(Arc::new(clock.clone())), clock }
    }
}

impl Harness for Test {
    fn queue(&self) -> &dyn QueueAdapter {
        &self.queue
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }
}

// A test for each case of the suite.
pulpo::queue_conformance!(Test::new());

#[test]
fn a_worker_works_on_it() {
    let said = Sandbox::new().run(env!("CARGO_BIN_EXE_queue_adapter"), &[]);
    assert_eq!(said.code, 0, "{}", said.err);
    let (orders, _) = pulpo_examples::orders::read().expect("orders");
    let unpaid = orders.iter().filter(|o| o.status == pulpo_examples::orders::Status::Unpaid).count();
    let many = orders.iter().filter(|o| o.quantity > 10 && o.status == pulpo_examples::orders::Status::Paid).count();
    assert!(said.out.contains(&format!("queued     {} in \"pulpo\"\n", orders.len())), "{}", said.out);
    let packed = format!("packed     {} orders, {many} of them at the second attempt\n", orders.len() - unpaid);
    assert!(said.out.contains(&packed), "{}", said.out);
    assert!(said.out.ends_with(&format!("kept       {unpaid} for a person\n")), "{}", said.out);
}

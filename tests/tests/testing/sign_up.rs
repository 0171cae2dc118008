//! A job that is retried, in the test of the code that publishes it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pulpo::State;
use pulpo::testing::TestPulpo;
use serde::{Deserialize, Serialize};

const SECOND: Duration = Duration::from_secs(1);

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

pub(crate) struct Mailer {
    fails: AtomicBool,
}

impl Mailer {
    pub(crate) fn that_fails_once() -> Self {
        Self { fails: AtomicBool::new(true) }
    }
}

#[pulpo::handler("sign_up.send_email")]
fn send_email(_: SendEmail, mailer: State<Mailer>) -> pulpo::Outcome {
    if mailer.fails.swap(false, Ordering::Relaxed) { Err("connection refused".into()) } else { Ok(()) }
}

fn sign_up(address: &str) -> Result<(), pulpo::PublishError> {
    pulpo::publish(SendEmail { to: address.to_owned() })?;
    Ok(())
}

#[test]
fn a_new_user_gets_a_mail_even_if_the_server_is_unavailable_at_first() {
    let pulpo = TestPulpo::new().state(Mailer::that_fails_once());
    sign_up("ada@example.com").unwrap(); // the code under test, which calls pulpo::publish
    pulpo.assert_published::<SendEmail>(|m| m.body().to == "ada@example.com");

    let run = pulpo.run_next().unwrap();
    run.assert_retried_after(SECOND..=2 * SECOND);
    pulpo.advance(2 * SECOND);
    pulpo.run_next().unwrap().assert_done();
}

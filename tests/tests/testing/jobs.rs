//! The jobs of these tests, and their traces.

use std::sync::Mutex;
use std::time::Duration;

use pulpo::{Context, Outcome, ResultExt as _, State};
use serde::{Deserialize, Serialize};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// A record of the handlers' work.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<Vec<String>>);

impl Board {
    pub(crate) fn write(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SendEmail {
    pub(crate) to: String,
}

pub(crate) fn email(to: &str) -> SendEmail {
    SendEmail { to: to.into() }
}

#[pulpo::handler("send_email", max_attempts = 3, backoff = "10s..1h")]
fn send_email(email: SendEmail, board: State<Board>, context: &Context) -> Outcome {
    board.write(format!("{} attempt {}", email.to, context.attempt()));
    match &*email.to {
        "" => Err(pulpo::fatal("no recipient")),
        "busy" => Err("451 busy").retry_after(90 * SECOND)?,
        "down" => Err("connection refused".into()),
        "panic" => panic!("out of stamps"),
        _ => Ok(()),
    }
}

/// Publishes a follow-up job.
#[derive(Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) mails: Vec<String>,
    pub(crate) fail: bool,
}

#[pulpo::handler("order", queue = "orders", alias = "purchase")]
pub(crate) fn order(order: Order, context: &Context) -> Outcome {
    for to in &order.mails {
        context.publish(email(to))?;
    }
    if order.fail { Err("no stock".into()) } else { Ok(()) }
}

/// Publishes with the process's default `Pulpo`, as deeply nested code may.
#[derive(Serialize, Deserialize)]
pub(crate) struct SignUp {
    pub(crate) address: String,
}

#[pulpo::handler("sign_up")]
fn sign_up(sign_up: SignUp) -> Outcome {
    pulpo::publish(email(&sign_up.address))?;
    Ok(())
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Line(pub(crate) u32);

#[pulpo::handler("line", batch = 3, linger = "2s")]
fn lines(lines: Vec<Line>, board: State<Board>) -> Vec<Outcome> {
    board.write(format!("{} lines", lines.len()));
    let one = |line: Line| if line.0 == 0 { Err(pulpo::fatal("no line 0")) } else { Ok(()) };
    lines.into_iter().map(one).collect()
}

/// Publishes itself again, forever, an hour apart.
#[derive(Serialize, Deserialize)]
pub(crate) struct Tick;

#[pulpo::handler("tick")]
fn tick(_: Tick, context: &Context) -> Outcome {
    context.publish(pulpo::Message::new(Tick).delay(3600 * SECOND))?;
    Ok(())
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Sleep {
    pub(crate) seconds: u64,
}

#[pulpo::handler("sleep")]
async fn sleep(sleep: Sleep) {
    tokio::time::sleep(Duration::from_secs(sleep.seconds)).await;
}

/// A job that cannot run: the state of its handler is never provided.
#[derive(Serialize, Deserialize)]
pub(crate) struct Charge;

pub(crate) struct Bank;

#[pulpo::handler("charge")]
fn charge(_: Charge, _: State<Bank>) {}

//! A worker for jobs published from another language.
//!
//! It shows that a producer needs no Rust: `examples/python/producer.py` puts
//! JSON into a beanstalkd tube, and typed handlers receive it.
//!
//! ```text
//! beanstalkd &
//! python examples/python/producer.py 127.0.0.1:11300
//! PULPO_QUEUE=beanstalkd://127.0.0.1:11300 cargo run -p pulpo-examples --bin python_producer
//! ```
//!
//! With the queue in PostgreSQL, `examples/python/orders.py` publishes by SQL, in
//! the transaction of an order.
#![allow(clippy::print_stdout, reason = "it talks to a person")]

use serde::{Deserialize, Serialize};

/// Fields that a producer omits have a default here.
#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
    #[serde(default)]
    subject: String,
}

#[pulpo::handler("send_email")]
fn send_email(email: SendEmail) {
    println!("to {}: {}", email.to, email.subject);
}

/// Plain text: `{"payload": "…"}`.
#[derive(Serialize, Deserialize)]
struct Echo(String);

#[pulpo::handler("echo")]
fn echo(Echo(text): Echo) {
    println!("{text}");
}

pulpo::main!();

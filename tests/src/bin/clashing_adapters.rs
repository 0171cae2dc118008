//! A program that links two queue adapters with the same URL scheme.

use std::ffi::OsString;
use std::sync::Arc;

use pulpo::clock::Clock;
use pulpo::queue::backend::{Address, Factory, Key, Purpose, Scheme, Settings};
use pulpo::queue::{QueueAdapter, QueueError};

/// An adapter that is never opened.
struct Clashing(&'static str);

pulpo::register_backend!(Clashing("first_queue_adapter"));
pulpo::register_backend!(Clashing("second_queue_adapter"));

const SCHEMES: &[Scheme] = &[Scheme::new("echo", "echo:")];

impl Factory for Clashing {
    fn schemes(&self) -> &'static [Scheme] {
        SCHEMES
    }

    fn table(&self) -> &'static str {
        self.0
    }

    fn keys(&self) -> &'static [Key] {
        &[]
    }

    fn read(&self, _: &Address<'_>) -> Result<Vec<(&'static str, OsString)>, String> {
        Ok(Vec::new())
    }

    fn write(&self, _: &Settings) -> OsString {
        OsString::new()
    }

    fn open(&self, _: &Settings, _: Purpose, _: Arc<dyn Clock>) -> Result<Arc<dyn QueueAdapter>, QueueError> {
        Err(QueueError::Unsupported("be opened"))
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Echo;

#[pulpo::handler("echo")]
fn echo(_: Echo) {}

pulpo::main!();

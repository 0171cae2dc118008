//! Answering HTTP without trusting anybody: a server that serves any
//! [`axum::Router`] within limits, and questions whose answers may be late.
//!
//! What the pages are is for others to say.

pub(crate) use question::{Question, Reply};
pub(crate) use server::{Limits, Server};

mod connections;
mod question;
mod server;

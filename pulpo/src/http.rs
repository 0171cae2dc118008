//! HTTP for untrusted clients: a server that serves any [`axum::Router`] within limits, and questions whose answers may
//! be late.
//!
//! The pages are defined elsewhere.

pub(crate) use question::{Question, Reply};
pub(crate) use server::{Limits, Server};

mod connections;
mod question;
mod server;

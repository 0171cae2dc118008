//! Types with names of std's and of pulpo's.

use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
pub(crate) struct Duration;

#[derive(Serialize, Deserialize)]
pub(crate) struct Message<T>(pub(crate) T);

#[derive(Serialize, Deserialize)]
pub(crate) struct State<T>(pub(crate) T);

#[derive(Serialize, Deserialize)]
pub(crate) struct Result(pub(crate) u8);

#[derive(Serialize, Deserialize)]
pub(crate) struct Context;

#[derive(Serialize, Deserialize)]
pub(crate) enum HashMap {
    Of(u8),
}

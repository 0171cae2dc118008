//! What `pictures_producer` and `pictures_worker` agree on: the jobs, their names and their
//! policies. A change here is seen by both, and a job that nobody works is
//! found by `pictures_worker check`.

use serde::{Deserialize, Serialize};

/// Makes a small picture of a large one.
#[derive(Debug, Serialize, Deserialize, pulpo::Job)]
#[job("make_thumbnail", queue = "pictures", max_attempts = 5, timeout = "2m")]
pub struct MakeThumbnail {
    /// Where the picture is.
    pub file: String,
    /// In pixels.
    pub width: u32,
}

/// Tells somebody that something has come to an end.
#[derive(Debug, Serialize, Deserialize, pulpo::Job)]
#[job("notify", priority = 100)]
pub enum Notify {
    /// By mail.
    Mail {
        /// To this address.
        to: String,
        /// Says this.
        text: String,
    },
    /// In the log of the worker.
    Log(String),
}

//! The contract between `pictures_producer` and `pictures_worker`: the jobs, their names and their
//! policies. Both see any change here, and `pictures_worker check` finds a job without a handler.

use serde::{Deserialize, Serialize};

/// Makes a small picture of a large one.
#[derive(Debug, Serialize, Deserialize, pulpo::Job)]
#[job("make_thumbnail", queue = "pictures", max_attempts = 5, timeout = "2m")]
pub struct MakeThumbnail {
    /// The path of the picture.
    pub file: String,
    /// In pixels.
    pub width: u32,
}

/// Notifies a person that something is finished.
#[derive(Debug, Serialize, Deserialize, pulpo::Job)]
#[job("notify", priority = 100)]
pub enum Notify {
    /// By mail.
    Mail {
        /// The recipient's address.
        to: String,
        /// The text of the mail.
        text: String,
    },
    /// In the worker's log.
    Log(String),
}

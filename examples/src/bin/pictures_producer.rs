//! Publishes jobs for another program, `pictures_worker` beside this file. Both
//! use the jobs of the crate `shared-jobs`; this program contains no handler
//! code.
//!
//! ```text
//! cargo run --bin pictures_producer -- sunset.jpg harbour.jpg
//! cargo run --bin pictures_worker
//! ```

use std::error::Error;

use pulpo::Message;
use shared_jobs::{MakeThumbnail, Notify};

#[expect(clippy::print_stdout, reason = "it tells what it did")]
fn main() -> Result<(), Box<dyn Error>> {
    let files: Vec<String> = std::env::args().skip(1).collect();
    if files.is_empty() {
        return Err("expected the names of pictures: pictures_producer sunset.jpg harbour.jpg".into());
    }
    let jobs = files.iter().map(|file| MakeThumbnail { file: file.clone(), width: 320 });
    let sent = pulpo::publish_all(jobs)?;
    // After the pictures, although its type has a more urgent default priority.
    let last = Notify::Log(format!("{} pictures were asked for", files.len()));
    pulpo::publish(Message::new(last).priority(100_000))?;
    for (file, message) in files.iter().zip(&sent) {
        println!("{file}: message {}", message.id().map_or("", |id| id.as_str()));
    }
    Ok(())
}

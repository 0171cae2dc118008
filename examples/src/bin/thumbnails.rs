//! Thumbnails of pictures: CPU-bound work, with one lane per core.
//!
//! ```text
//! cargo run -p pulpo-examples --features pictures --bin thumbnails              # those of data/pictures
//! cargo run -p pulpo-examples --features pictures --bin thumbnails -- FOLDER
//! ```
//!
//! It shows: plain functions as handlers of heavy work, which delay no other
//! job; a `timeout`, and a handler that stops early when it is over; a file that
//! is not a picture, buried with the reason while the others are done; a job
//! that is safe to repeat; and a worker that ends when the queue is empty. The
//! thumbnails are in the folder `thumbnails-output`.
#![allow(clippy::print_stdout, reason = "it talks to a person")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{env, fs};

use anyhow::Context as _;
use image::imageops::FilterType;
use image::{ImageFormat, ImageReader};
use pulpo::config::Sources;
use pulpo::queue::{Filter, MessageState};
use pulpo::{Config, Context, Pulpo, ResultExt as _, State};
use serde::{Deserialize, Serialize};

const PICTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/pictures");
const OUTPUT: &str = "thumbnails-output";
const SIZES: [u32; 3] = [320, 160, 64];

/// The path of the picture, not its content: messages are small.
#[derive(Serialize, Deserialize)]
struct Shrink {
    picture: PathBuf,
}

/// The bytes saved so far, over all lanes.
#[derive(Default)]
struct Saved {
    pictures: AtomicU64,
    bytes: AtomicU64,
}

#[pulpo::handler("shrink", queue = "pictures", max_attempts = 3, timeout = "1m")]
fn shrink(Shrink { picture }: Shrink, context: &Context, saved: State<Arc<Saved>>) -> pulpo::Outcome {
    // A read error may be temporary: the disk of another machine, a full table of open files. The
    // job is tried again.
    let content = fs::read(&picture).with_context(|| format!("cannot read {}", picture.display()))?;
    // A file that is not a picture will not become one: the job is buried.
    let reader = ImageReader::new(std::io::Cursor::new(&content)).with_guessed_format()?;
    let image = reader.decode().with_context(|| format!("{} is not a picture", picture.display())).fatal()?;

    let name = picture.file_stem().unwrap_or_default().to_string_lossy();
    for size in SIZES {
        // A thread cannot be stopped from outside, so the handler checks whether its result still counts.
        if context.is_cancelled() {
            return Err("out of time".into());
        }
        let small = image.resize(size, size, FilterType::Lanczos3);
        let folder = Path::new(OUTPUT).join(size.to_string());
        fs::create_dir_all(&folder)?;
        let file = folder.join(format!("{name}.png"));
        small.save_with_format(&file, ImageFormat::Png)?;
        saved.bytes.fetch_add(fs::metadata(&file)?.len(), Ordering::Relaxed);
    }
    saved.pictures.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let folder = env::args_os().nth(1).map_or_else(|| PICTURES.into(), PathBuf::from);
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot read the folder {}", folder.display()))?;
    let mut pictures = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    pictures.sort();

    let mut sources = Sources::default();
    let cores = std::thread::available_parallelism()?.get();
    // More lanes than cores would only compete with each other.
    sources.set_default("concurrency", &cores.to_string());
    let pulpo = Pulpo::new(Config::load_from(&sources)?)?;
    let sent = pulpo.publish_all(pictures.into_iter().map(|picture| Shrink { picture }))?;
    println!("published  {} pictures", sent.len());

    let saved = Arc::new(Saved::default());
    let summary = pulpo.worker()?.state(saved.clone()).drain()?;
    let [pictures, bytes] = [&saved.pictures, &saved.bytes].map(|count| count.load(Ordering::Relaxed));
    println!("done       {pictures} of them in {} sizes, {bytes} bytes, see the folder {OUTPUT}", SIZES.len());
    println!("buried     {}:", summary.buried);
    for message in pulpo.queue().list(&Filter::all().state(MessageState::Buried).queue("pictures"))? {
        println!("           {}", message.last_error.unwrap_or_default());
    }
    Ok(())
}

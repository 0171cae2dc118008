//! `check --update` and `check --against`: compares this version with another one.

use std::collections::HashMap;
use std::error::Error;
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::super::{Open, show};
use super::waiting::each_waiting;
use crate::instance::{Pulpo, SetupError};
use crate::queue::QueueError;
use crate::registry::Registry;
use crate::report::chain;
use crate::shape::CAN_TRACE;
use crate::snapshot::{Changed, Comparison, Snapshot};

/// Returns why this program has no shapes to write or to compare, if so.
pub(in crate::cli) fn cannot_trace() -> Result<(), Box<dyn Error>> {
    if CAN_TRACE {
        return Ok(());
    }
    Err("this program is built with panic = \"abort\", so pulpo cannot try what its types read: one that panics would end \
         it; build it with panic = \"unwind\" for this command"
        .into())
}

/// Writes the snapshot of this program, and keeps the comments and examples that are already in the file.
pub(super) fn update(path: &Path, registry: &Registry) -> Result<usize, Box<dyn Error>> {
    cannot_trace()?;
    let mut snapshot = Snapshot::of(registry);
    // Anything that is not a file, such as a pipe, has no notes, and reading it may not end.
    let is_file = std::fs::metadata(path).is_ok_and(|found| found.is_file());
    match if is_file { std::fs::read_to_string(path) } else { Err(std::io::ErrorKind::NotFound.into()) } {
        Ok(text) => {
            let before = Snapshot::read(&text).map_err(|error| format!("{}: {error}", path.display()))?;
            snapshot = snapshot.with_notes_of(before, registry);
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(format!("cannot read {}: {error}", path.display()).into()),
    }
    if let Some((job, example)) = snapshot.unread_examples(registry).first() {
        let path = path.display();
        return Err(format!("{path}: the job `{job}` does not read its example {example}; change or remove it").into());
    }
    write(path, &snapshot.to_string()).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(snapshot.len())
}

/// Replaces a file as a whole: a full disk leaves the old one.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    // A link stays one, and anything else than a file, such as a pipe, is written to.
    let path = match path.canonicalize() {
        Ok(path) => path,
        // Its file is not there yet.
        Err(_) if path.is_symlink() => return std::fs::write(path, text),
        Err(_) => path.to_owned(),
    };
    let before = std::fs::metadata(&path).ok();
    let (Some(name), true) = (path.file_name(), before.as_ref().is_none_or(std::fs::Metadata::is_file)) else {
        return std::fs::write(&path, text);
    };
    let mut new = name.to_owned();
    new.push(format!(".{}.new", std::process::id()));
    let new = path.with_file_name(new);
    let replaced = std::fs::write(&new, text)
        .and_then(|()| before.map_or(Ok(()), |before| std::fs::set_permissions(&new, before.permissions())))
        .and_then(|()| std::fs::rename(&new, &path));
    if replaced.is_err() {
        // The error of before says more than that of removing a file that may not exist.
        drop(std::fs::remove_file(&new));
    }
    replaced
}

/// The result of `check --against`.
pub(super) struct Compared {
    pub(super) changes: Vec<Changed>,
    /// Number of waiting messages, by request type; `None` if there is no queue to ask.
    waiting: Option<HashMap<String, u64>>,
    warnings: Vec<Value>,
}

pub(super) fn against(
    path: &Path,
    registry: &Registry,
    allowed: &[String],
    open: Open<'_>,
) -> Result<Compared, Box<dyn Error>> {
    cannot_trace()?;
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let snapshot = Snapshot::read_whole(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let Comparison { changes, warnings } = snapshot.compare(registry, allowed);
    let mut warnings = warnings.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>()?;
    let mut waiting = None;
    if !changes.is_empty() {
        match open().and_then(|pulpo| Ok(by_type(&pulpo)?)) {
            Ok(counts) => waiting = Some(counts),
            // A check in CI has no queue.
            Err(error) if !is_unreachable(&*error) => {}
            Err(error) => warnings.push(json!({
                "job": null,
                "path": null,
                "kind": "queue_unreachable",
                "message": format!("cannot count the messages that wait: {}", chain(&*error)),
            })),
        }
    }
    Ok(Compared { changes, waiting, warnings })
}

/// Returns whether a queue is configured and does not answer.
fn is_unreachable(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let of_setup = || match error.downcast_ref::<SetupError>() {
            // It shows the error as its own, without a source.
            Some(SetupError::Queue(error)) => Some(error),
            _ => None,
        };
        if error.downcast_ref::<QueueError>().or_else(of_setup).is_some_and(QueueError::is_transient) {
            return true;
        }
        next = error.source();
    }
    false
}

/// Counts the waiting messages by request type.
fn by_type(pulpo: &Pulpo) -> Result<HashMap<String, u64>, QueueError> {
    let mut all = HashMap::new();
    let stats = pulpo.queue().stats()?;
    if stats.counts.iter().all(|counts| !counts.request_type.is_empty()) {
        for counts in &stats.counts {
            *all.entry(counts.request_type.clone()).or_default() += counts.ready + counts.delayed + counts.reserved;
        }
    } else {
        // This queue's counts do not distinguish types, so read its messages.
        each_waiting(pulpo, |message| *all.entry(message.request_type.clone()).or_default() += 1)?;
    }
    Ok(all)
}

impl Compared {
    /// Returns the number of waiting messages that a change concerns.
    fn waiting(&self, changed: &Changed) -> Option<u64> {
        let waiting = self.waiting.as_ref()?;
        Some(changed.request_types.iter().filter_map(|request_type| waiting.get(request_type)).sum())
    }

    pub(super) fn changes_as_json(&self) -> Value {
        let change = |changed: &Changed| {
            let difference = &changed.difference;
            json!({
                "job": changed.job,
                "path": difference.path,
                "kind": difference.kind,
                "before": difference.before,
                "after": difference.after,
                "error": difference.error,
                "advice": changed.advice,
                "waiting": self.waiting(changed),
            })
        };
        self.changes.iter().map(change).collect()
    }

    pub(super) fn warnings(&self) -> &[Value] {
        &self.warnings
    }

    pub(super) fn print(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        for warning in &self.warnings {
            let parts = ["job", "path", "message"].map(|key| text(&warning[key]));
            let parts: Vec<_> = parts.iter().filter(|part| !part.is_empty()).map(String::as_str).collect();
            writeln!(out, "{}", show::visible(&format!("warning: {}", parts.join(": "))))?;
        }
        for changed in &self.changes {
            let difference = &changed.difference;
            let shown = |node: &Option<String>| node.clone().unwrap_or_else(|| "nothing".to_owned());
            writeln!(out, "{}", show::visible(&format!("{}: {}: {}", changed.job, difference.path, difference.error)))?;
            let (before, after) = (shown(&difference.before), shown(&difference.after));
            writeln!(out, "{}", show::visible(&format!("  before: {before}; now: {after}")))?;
            writeln!(out, "{}", show::visible(&format!("  {}", changed.advice)))?;
            if let Some(waiting) = self.waiting(changed) {
                writeln!(out, "  messages of this job that wait now: {waiting}")?;
            }
        }
        if !self.changes.is_empty() {
            writeln!(
                out,
                "deploy in steps: first a version that reads both; then, when no older message waits, one without the old form"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_file_that_is_not_there_stays_one() {
        let place = tempfile::tempdir().expect("a folder");
        let (link, file) = (place.path().join("link"), place.path().join("file"));
        std::os::unix::fs::symlink("file", &link).expect("linked");
        for text in ["pulpo snapshot 1\n", "# Ours.\npulpo snapshot 1\n"] {
            write(&link, text).expect("written");
            assert!(link.is_symlink());
            assert_eq!(std::fs::read_to_string(&file).expect("a file"), text);
        }
        std::os::unix::fs::symlink("nowhere/file", place.path().join("lost")).expect("linked");
        write(&place.path().join("lost"), "").expect_err("there is no such folder");
    }

    #[cfg(unix)]
    #[test]
    fn a_snapshot_is_written_into_a_pipe_that_nobody_writes_to() {
        let place = tempfile::tempdir().expect("a folder");
        let pipe = place.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
        assert!(made.success());
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || std::fs::read_to_string(pipe).expect("read")
        });
        assert_eq!(update(&pipe, &Registry::default()).expect("written"), 0);
        assert_eq!(reader.join().expect("no panic"), "pulpo snapshot 1\n");
    }
}

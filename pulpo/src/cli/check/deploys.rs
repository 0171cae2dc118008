//! `check --update` and `check --against`: compares this version with another one.

use std::collections::HashMap;
use std::error::Error;
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::super::{Open, show};
use super::waiting::each_waiting;
use crate::instance::Pulpo;
use crate::queue::QueueError;
use crate::registry::Registry;
use crate::snapshot::{Changed, Snapshot};

/// Writes the snapshot of this program, and keeps the comments and examples that are already in the file.
pub(super) fn update(path: &Path, registry: &Registry) -> Result<usize, Box<dyn Error>> {
    let mut snapshot = Snapshot::of(registry);
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let before = Snapshot::read(&text).map_err(|error| format!("{}: {error}", path.display()))?;
            snapshot = snapshot.with_notes_of(before);
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(format!("cannot read {}: {error}", path.display()).into()),
    }
    if let Some((job, example)) = snapshot.unread_examples(registry).first() {
        let path = path.display();
        return Err(format!("{path}: the job `{job}` does not read its example {example}; change or remove it").into());
    }
    std::fs::write(path, snapshot.to_string()).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(snapshot.len())
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
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let snapshot = Snapshot::read(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let changes = snapshot.unread_by(registry, allowed);
    let mut warnings = Vec::new();
    for order in snapshot.unread_here(registry) {
        warnings.push(json!({
            "job": order.job,
            "path": order.path,
            "kind": "older_workers",
            "message": format!(
                "workers of the version before do not read what this one publishes ({}): their messages wait for a \
                 worker of this version, within unknown_type_grace; replace the workers before the producers",
                order.message
            ),
        }));
    }
    for (job, dropped) in snapshot.dropped_by(registry) {
        warnings.push(json!({
            "job": job,
            "path": dropped.path,
            "kind": dropped.kind,
            "message": dropped.error,
        }));
    }
    // Count waiting messages only if there is a queue: a check in CI has none.
    let waiting = if changes.is_empty() { None } else { open().ok().and_then(|pulpo| by_type(&pulpo).ok()) };
    Ok(Compared { changes, waiting, warnings })
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
    fn waiting(&self, job: &str) -> Option<u64> {
        Some(self.waiting.as_ref()?.get(job).copied().unwrap_or(0))
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
                "waiting": self.waiting(&changed.job),
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
            let (job, path, message) = (text(&warning["job"]), text(&warning["path"]), text(&warning["message"]));
            writeln!(out, "{}", show::visible(&format!("warning: {job}: {path}: {message}")))?;
        }
        for changed in &self.changes {
            let difference = &changed.difference;
            let shown = |node: &Option<String>| node.clone().unwrap_or_else(|| "nothing".to_owned());
            writeln!(out, "{}", show::visible(&format!("{}: {}: {}", changed.job, difference.path, difference.error)))?;
            let (before, after) = (shown(&difference.before), shown(&difference.after));
            writeln!(out, "{}", show::visible(&format!("  before: {before}; now: {after}")))?;
            writeln!(out, "{}", show::visible(&format!("  {}", changed.advice)))?;
            if let Some(waiting) = self.waiting(&changed.job) {
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

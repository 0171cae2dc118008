//! The entries of the ledger that are shown with a violation: those of its job, and what may explain them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::Path;

use crate::ledger::{Event, read};

/// Faults this many microseconds before the first entry of a job, and after its last, are shown too.
const AROUND: u64 = 3_000_000;

/// An entry, and the process that it is about; `None` if it is about a server.
#[derive(Clone)]
struct Line {
    at: u64,
    process: Option<String>,
    text: String,
}

/// Returns the lines of these jobs in order: their entries, the end of the run before in the same lane, and the faults
/// of their processes and of all servers in that time.
pub(super) fn of<'a>(folder: &Path, keys: impl Iterator<Item = &'a str>) -> io::Result<BTreeMap<String, Vec<String>>> {
    let mut own: BTreeMap<String, Vec<Line>> = keys.map(|key| (key.to_owned(), Vec::new())).collect();
    if own.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut faults = Vec::new();
    let mut ends: HashMap<(String, u32), String> = HashMap::new();
    read(folder, |process, entry| {
        let at = entry.at;
        let about = match &entry.event {
            Event::ServerKilled { .. } | Event::ServerGone => None,
            Event::Fault { process, .. } | Event::Gone { process, .. } => Some(process.clone()),
            _ => Some(process.to_owned()),
        };
        let line = Line { at, process: about, text: format!("{at} {process}: {:?}", entry.event) };
        let Some(key) = entry.event.key() else { return faults.push(line) };
        if let Some(lines) = own.get_mut(key) {
            if let Event::Start { lane, .. } = entry.event
                && let Some(text) = ends.get(&(process.to_owned(), lane))
            {
                lines.push(Line { at, process: None, text: format!("the lane before: {text}") });
            }
            lines.push(line.clone());
        }
        if let Event::End { lane, .. } = entry.event {
            ends.insert((process.to_owned(), lane), line.text);
        }
    })?;
    Ok(own.into_iter().map(|(key, lines)| (key, with(lines, &faults))).collect())
}

/// Adds the faults around these lines.
fn with(mut lines: Vec<Line>, faults: &[Line]) -> Vec<String> {
    let first = lines.iter().map(|line| line.at).min().unwrap_or_default().saturating_sub(AROUND);
    let last = lines.iter().map(|line| line.at).max().unwrap_or_default().saturating_add(AROUND);
    let processes: HashSet<_> = lines.iter().filter_map(|line| line.process.clone()).collect();
    let concerns = |line: &&Line| line.process.as_ref().is_none_or(|process| processes.contains(process));
    let near = faults.iter().filter(|line| first <= line.at && line.at <= last).filter(concerns);
    lines.extend(near.cloned());
    lines.sort_by_key(|line| line.at);
    lines.into_iter().map(|line| line.text).collect()
}

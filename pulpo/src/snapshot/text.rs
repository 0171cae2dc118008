//! Reads and writes the text of a snapshot.

use std::collections::HashMap;
use std::fmt;

use serde::de::IgnoredAny;

use super::{Job, Snapshot};
use crate::shape::read_line;

const FIRST_LINE: &str = "pulpo snapshot 1";

/// The beginnings of the lines that version control writes around a conflict.
const CONFLICT: [&str; 4] = ["<<<<<<<", "|||||||", "=======", ">>>>>>>"];

/// The numbers of the lines: of each job, and of each path of its body.
#[derive(Default)]
struct Lines {
    jobs: HashMap<String, usize>,
    paths: HashMap<(String, String), usize>,
}

impl Snapshot {
    /// Reads the text of a snapshot. A job may have notes alone.
    ///
    /// # Errors
    /// Names the line.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        Self::read_lines(text).map(|(snapshot, _)| snapshot)
    }

    /// Reads the text of a snapshot that a program is compared with: the body of each job must be there as a whole.
    ///
    /// # Errors
    /// Names the line.
    pub(crate) fn read_whole(text: &str) -> Result<Self, String> {
        let (snapshot, lines) = Self::read_lines(text)?;
        let again = "restore the file, or write it with `check --update` of the version before";
        for (name, job) in &snapshot.jobs {
            if !job.shape.0.contains_key("body") {
                let number = lines.jobs.get(name).copied().unwrap_or_default();
                return Err(format!("line {number}: expected `body: …` below `job {name}`, got none: {again}"));
            }
            if let Some((path, fault)) = job.shape.fault() {
                let number = lines.paths.get(&(name.clone(), path)).copied().unwrap_or_default();
                return Err(format!("line {number}: {fault}: {again}"));
            }
        }
        Ok(snapshot)
    }

    fn read_lines(text: &str) -> Result<(Self, Lines), String> {
        let mut lines = Lines::default();
        let mut snapshot = Self::default();
        let mut comments: Vec<String> = Vec::new();
        let mut current: Option<String> = None;
        let mut is_first = true;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line.trim_end())) {
            let at_line = |error: String| format!("line {number}: {error}");
            if line.is_empty() {
                continue;
            }
            if line.starts_with('#') {
                if is_first {
                    snapshot.head.push(line.to_owned())
                } else {
                    comments.push(line.to_owned())
                }
                continue;
            }
            if CONFLICT.iter().any(|mark| line.starts_with(mark)) {
                let error = format!("expected a merged file, got the conflict mark `{line}`: resolve the conflict");
                return Err(at_line(error));
            }
            if is_first {
                first_line(line).map_err(at_line)?;
                is_first = false;
                continue;
            }
            if let Some(name) = line.strip_prefix("job ") {
                if snapshot.jobs.contains_key(name) {
                    return Err(at_line(format!("expected each job once, got `{name}` twice: remove one")));
                }
                let job = Job { comments: std::mem::take(&mut comments), ..Job::default() };
                snapshot.jobs.insert(name.to_owned(), job);
                lines.jobs.insert(name.to_owned(), number);
                current = Some(name.to_owned());
                continue;
            }
            let Some((name, job)) = current.as_ref().and_then(|name| Some((name, snapshot.jobs.get_mut(name)?))) else {
                return Err(at_line(format!("expected `job NAME`, got `{line}`")));
            };
            job.comments.append(&mut comments);
            if let Some(path) = job.read_line(line).map_err(at_line)? {
                lines.paths.insert((name.clone(), path), number);
            }
        }
        if is_first {
            return Err(format!("expected `{FIRST_LINE}` in the first line, got an empty file"));
        }
        snapshot.tail = comments;
        Ok((snapshot, lines))
    }
}

fn first_line(line: &str) -> Result<(), String> {
    if line == FIRST_LINE {
        return Ok(());
    }
    let version = line.strip_prefix("pulpo snapshot ").and_then(|version| version.parse::<u32>().ok());
    Err(match version {
        Some(version) if version > 1 => format!(
            "expected `{FIRST_LINE}`, got `{line}`, which a newer pulpo has written: use that one, or remove the file and \
             write it with `check --update`"
        ),
        _ => format!("expected `{FIRST_LINE}`, got `{line}`"),
    })
}

impl Job {
    /// Reads a line below the name of a job. Returns its path, if it is one of the body.
    fn read_line(&mut self, line: &str) -> Result<Option<String>, String> {
        let twice = |what: &str| Err(format!("expected {what} once, got it twice: remove one of the lines"));
        if let Some(alias) = line.strip_prefix("alias ") {
            if self.aliases.iter().any(|known| known == alias) {
                return twice(&format!("the alias `{alias}`"));
            }
            self.aliases.push(alias.to_owned());
        } else if line == "unique" || line.starts_with("unique ") {
            if self.unique.is_some() {
                return twice("`unique`");
            }
            self.unique = Some(line["unique".len()..].trim_start().to_owned());
        } else if let Some(example) = line.strip_prefix("example ") {
            if let Err(error) = serde_json::from_str::<IgnoredAny>(example) {
                return Err(format!("expected a body as JSON behind `example`, got `{example}`: {error}"));
            }
            self.examples.push(example.to_owned());
        } else if let Some((path, node)) = read_line(line) {
            if self.shape.0.contains_key(&path) {
                return twice(&format!("the path `{path}`"));
            }
            self.shape.0.insert(path.clone(), node);
            return Ok(Some(path));
        } else {
            return Err(format!(
                "expected a path and what is read there, `alias NAME`, `unique FIELDS` or `example BODY`, got `{line}`"
            ));
        }
        Ok(None)
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for comment in &self.head {
            writeln!(f, "{comment}")?;
        }
        writeln!(f, "{FIRST_LINE}")?;
        for (name, job) in &self.jobs {
            writeln!(f)?;
            for comment in &job.comments {
                writeln!(f, "{comment}")?;
            }
            writeln!(f, "job {name}")?;
            for alias in &job.aliases {
                writeln!(f, "alias {alias}")?;
            }
            match job.unique.as_deref() {
                None => {}
                Some("") => writeln!(f, "unique")?,
                Some(fields) => writeln!(f, "unique {fields}")?,
            }
            write!(f, "{}", job.shape)?;
            for example in &job.examples {
                writeln!(f, "example {example}")?;
            }
        }
        if !self.tail.is_empty() {
            writeln!(f)?;
        }
        for comment in &self.tail {
            writeln!(f, "{comment}")?;
        }
        Ok(())
    }
}

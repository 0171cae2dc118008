//! The snapshot of a program's jobs. It is kept beside the source, so that a later version can be checked against the
//! messages that it has to read.
//!
//! A sorted text file with one line for each path of a body. Lines that begin with `#` are comments, and lines with
//! `example` are bodies that a developer added; an update keeps both.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::json;

use crate::message::MessageError;
use crate::registry::{Handler, Registry, nearest};
use crate::shape::changes::{Difference, DifferenceKind};
use crate::shape::{Shape, read_line};

const FIRST_LINE: &str = "pulpo snapshot 1";

/// The jobs of a program, with the bodies that they read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Snapshot {
    /// The comments before the first job.
    head: Vec<String>,
    jobs: BTreeMap<String, Job>,
}

/// One job: its names, and the bodies that it reads.
#[derive(Clone, Debug, Default, PartialEq)]
struct Job {
    comments: Vec<String>,
    aliases: Vec<String>,
    /// The fields in its unique key, if it is unique; empty for the whole body.
    unique: Option<String>,
    shape: Shape,
    /// Example bodies, as a developer wrote them.
    examples: Vec<String>,
}

/// A message of the snapshot that a program does not read.
#[derive(Clone, Debug)]
pub(crate) struct Changed {
    pub(crate) job: String,
    pub(crate) difference: Difference,
    pub(crate) advice: String,
}

/// A conflict between two versions that run at the same time.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Order {
    pub(crate) job: String,
    pub(crate) path: String,
    pub(crate) message: String,
}

impl Snapshot {
    /// Creates the snapshot of this program.
    pub(crate) fn of(registry: &Registry) -> Self {
        let job = |handler: &'static Handler| {
            let mut aliases: Vec<_> = handler.aliases().iter().map(|alias| (*alias).to_owned()).collect();
            aliases.sort_unstable();
            let unique = handler.unique_fields().map(str::to_owned);
            let job = Job { aliases, unique, shape: handler.traced(), ..Job::default() };
            (handler.request_type().to_owned(), job)
        };
        Self { head: Vec::new(), jobs: registry.iter().map(job).collect() }
    }

    /// Takes over the comments and examples of the previous snapshot, for jobs that are in both.
    pub(crate) fn with_notes_of(mut self, before: Self) -> Self {
        self.head = before.head;
        for (name, job) in before.jobs {
            if let Some(now) = self.jobs.get_mut(&name) {
                (now.comments, now.examples) = (job.comments, job.examples);
            }
        }
        self
    }

    /// Reads the text of a snapshot.
    ///
    /// # Errors
    /// Names the line.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let mut snapshot = Self::default();
        let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim_end()));
        let is_first = |(_, line): &(usize, &str)| !line.is_empty() && !line.starts_with('#');
        let mut comments: Vec<String> = Vec::new();
        loop {
            match lines.next() {
                Some(line) if is_first(&line) => {
                    if line.1 != FIRST_LINE {
                        return Err(format!("line {}: expected `{FIRST_LINE}`, got `{}`", line.0, line.1));
                    }
                    break;
                }
                Some((_, line)) => snapshot.head.extend((!line.is_empty()).then(|| line.to_owned())),
                None => return Err(format!("expected `{FIRST_LINE}` in the first line, got an empty file")),
            }
        }
        let mut current: Option<String> = None;
        for (number, line) in lines {
            if line.starts_with('#') {
                comments.push(line.to_owned());
                continue;
            }
            if line.is_empty() {
                continue;
            }
            if let Some(name) = line.strip_prefix("job ") {
                snapshot.jobs.entry(name.to_owned()).or_default().comments.append(&mut comments);
                current = Some(name.to_owned());
                continue;
            }
            let Some(job) = current.as_ref().and_then(|name| snapshot.jobs.get_mut(name)) else {
                return Err(format!("line {number}: expected `job NAME`, got `{line}`"));
            };
            job.comments.append(&mut comments);
            if let Some(alias) = line.strip_prefix("alias ") {
                job.aliases.push(alias.to_owned());
            } else if line == "unique" {
                job.unique = Some(String::new());
            } else if let Some(fields) = line.strip_prefix("unique ") {
                job.unique = Some(fields.to_owned());
            } else if let Some(example) = line.strip_prefix("example ") {
                job.examples.push(example.to_owned());
            } else if let Some((path, node)) = read_line(line) {
                job.shape.0.insert(path, node);
            } else {
                return Err(format!(
                    "line {number}: expected a path and what is read there, `alias NAME`, `unique FIELDS` or `example BODY`, got `{line}`"
                ));
            }
        }
        Ok(snapshot)
    }

    /// Returns the examples that this program does not read.
    pub(crate) fn unread_examples(&self, registry: &Registry) -> Vec<(String, String)> {
        let mut unread = Vec::new();
        for (name, job) in &self.jobs {
            let Some(handler) = registry.get(name) else { continue };
            for example in &job.examples {
                if let Err(error) = handler.check_body(Some(example)) {
                    unread.push((name.clone(), format!("{example}: {error}")));
                }
            }
        }
        unread
    }

    /// Returns the number of jobs.
    pub(crate) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Returns the messages of this snapshot that a program does not read. Jobs in `allowed` may be missing.
    pub(crate) fn unread_by(&self, registry: &Registry, allowed: &[String]) -> Vec<Changed> {
        let mut changes = Vec::new();
        for (name, job) in &self.jobs {
            match registry.get(name) {
                Some(handler) => {
                    changes.extend(job.unread_by(name, handler));
                    changes.extend(job.other_key(name, handler));
                }
                None if allowed.contains(name) => {}
                None => changes.push(self.gone(name, job, registry)),
            }
            for alias in job.aliases.iter().filter(|alias| registry.get(alias).is_none() && !allowed.contains(alias)) {
                changes.push(Changed {
                    job: name.clone(),
                    difference: Difference {
                        path: "header.request_type".to_owned(),
                        kind: DifferenceKind::AliasRemoved,
                        error: format!("no handler serves `{alias}`"),
                        before: Some(alias.clone()),
                        after: None,
                    },
                    advice: format!(
                        "keep `alias = \"{alias}\"`, or if no such message can wait, pass --allow-removed {alias}"
                    ),
                });
            }
        }
        changes
    }

    /// Describes a job that has no handler in the program any more.
    fn gone(&self, name: &str, job: &Job, registry: &Registry) -> Changed {
        let new: Vec<_> = registry.iter().filter(|handler| !self.jobs.contains_key(handler.request_type())).collect();
        let same = new.iter().find(|handler| handler.traced() == job.shape).map(|handler| handler.request_type());
        let renamed = same.or_else(|| nearest(name, new.iter().map(|handler| handler.request_type())));
        let (kind, advice) = match renamed {
            Some(now) => (
                DifferenceKind::JobRenamed,
                format!(
                    "if it is `{now}` now, give that one `alias = \"{name}\"`; if you removed it on purpose, pass --allow-removed {name}"
                ),
            ),
            None => (
                DifferenceKind::JobRemoved,
                format!(
                    "its messages would be buried as an unknown type; if you removed it on purpose, pass --allow-removed {name}"
                ),
            ),
        };
        let path = "header.request_type".to_owned();
        let error = format!("no handler serves `{name}`");
        let difference =
            Difference { path, kind, error, before: Some(name.to_owned()), after: renamed.map(str::to_owned) };
        Changed { job: name.to_owned(), difference, advice }
    }

    /// Returns the fields that are no longer read, and so are lost without an error.
    pub(crate) fn dropped_by(&self, registry: &Registry) -> Vec<(String, Difference)> {
        let both = self.jobs.iter().filter_map(|(name, job)| Some((name, job, registry.get(name)?)));
        both.flat_map(|(name, job, handler)| {
            let dropped = handler.traced().dropped_since(&job.shape);
            dropped.into_iter().map(|difference| (name.clone(), difference))
        })
        .collect()
    }

    /// Returns the bodies of the program that this version does not read, for the time when both run.
    pub(crate) fn unread_here(&self, registry: &Registry) -> Vec<Order> {
        let both = self.jobs.iter().filter_map(|(name, job)| Some((name, job, registry.get(name)?)));
        both.filter_map(|(name, job, handler)| {
            let (path, message) = job.shape.refusal_of(&handler.traced())?;
            Some(Order { job: name.clone(), path, message })
        })
        .collect()
    }
}

/// Writes a list of jobs, each with the paths of its body.
impl Serialize for Snapshot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.jobs.iter().map(|(name, job)| {
            let paths = job.shape.0.iter().map(|(path, node)| json!({ "path": path, "reads": node.to_string() }));
            json!({
                "request_type": name,
                "aliases": job.aliases,
                "unique": job.unique.as_deref().map(|fields| fields.split(", ").filter(|field| !field.is_empty()).collect::<Vec<_>>()),
                "shape": job.shape.id(),
                "body": paths.collect::<Vec<_>>(),
            })
        }))
    }
}

impl Job {
    /// Reports a unique key that differs between the waiting messages and this handler. A job that became unique, or no
    /// longer is, takes no key away from other messages.
    fn other_key(&self, name: &str, handler: &'static Handler) -> Option<Changed> {
        let (before, after) = (self.unique.as_deref()?, handler.unique_fields()?);
        (before != after).then(|| Changed {
            job: name.to_owned(),
            difference: Difference {
                path: "header.unique_key".to_owned(),
                kind: DifferenceKind::UniqueKeyChanged,
                error: "the unique key is made of other fields: a waiting message no longer blocks a duplicate"
                    .to_owned(),
                before: Some(key_of(before)),
                after: Some(key_of(after)),
            },
            advice:
                "keep the key; or let this job do its work twice during the deploy, and write the new key into the \
                     snapshot with `check --update`"
                    .to_owned(),
        })
    }

    fn unread_by(&self, name: &str, handler: &'static Handler) -> Vec<Changed> {
        let new = handler.traced();
        let mut found = self.shape.unread_by(&new, handler.probe());
        for example in &self.examples {
            if let Err(MessageError::Body { path, source }) = handler.check_body(Some(example)) {
                let error = source.to_string();
                if found.iter().all(|known| known.path != path) {
                    let difference = Difference {
                        path,
                        kind: DifferenceKind::ValueRefused,
                        error,
                        before: Some(example.clone()),
                        after: None,
                    };
                    found.push(difference);
                }
            }
        }
        let dropped = new.dropped_since(&self.shape);
        found
            .into_iter()
            .map(|difference| {
                let advice = advice(&difference, &dropped);
                Changed { job: name.to_owned(), difference, advice }
            })
            .collect()
    }
}

/// Returns the fields of a unique key, for people.
fn key_of(fields: &str) -> String {
    if fields.is_empty() { "the whole body".to_owned() } else { fields.to_owned() }
}

/// Returns the advice for a difference.
fn advice(difference: &Difference, dropped: &[Difference]) -> String {
    let name = difference.path.rsplit('.').next().unwrap_or_default();
    match difference.kind {
        DifferenceKind::FieldAdded => {
            let parent = difference.path.rsplit_once('.').map_or("", |(parent, _)| parent);
            let beside = dropped.iter().filter_map(|dropped| {
                let (above, name) = dropped.path.rsplit_once('.')?;
                (above == parent).then_some(name)
            });
            match nearest(name, beside.clone()).or_else(|| beside.clone().next().filter(|_| beside.count() == 1)) {
                Some(former) => format!(
                    "if it is the former `{former}`, give it `#[serde(alias = \"{former}\")]`, else `#[serde(default)]`"
                ),
                None => "give it `#[serde(default)]`, or make it an `Option`".to_owned(),
            }
        }
        DifferenceKind::FieldRequired => "give it `#[serde(default)]`, or leave it an `Option`".to_owned(),
        DifferenceKind::FieldRefused => {
            "keep it, or remove `#[serde(deny_unknown_fields)]` until no message has it".to_owned()
        }
        DifferenceKind::VariantRemoved => {
            "keep the variant until no message has it, or give its successor `#[serde(alias = …)]`".to_owned()
        }
        DifferenceKind::NullRefused => "keep it an `Option`".to_owned(),
        _ => "read both: an untagged enum, `#[serde(deserialize_with = …)]`, or a new field with a default".to_owned(),
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
        Ok(())
    }
}

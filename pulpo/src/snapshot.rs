//! The snapshot of a program's jobs. It is kept beside the source, so that a later version can be checked against the
//! messages that it has to read.
//!
//! A sorted text file with one line for each path of a body. Lines that begin with `#` are comments, and lines with
//! `example` are bodies that a developer added; an update keeps both.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::keys;
use crate::message::MessageError;
use crate::registry::{DescribedJob, Registry, nearest};
use crate::shape::Shape;
use crate::shape::changes::{Difference, DifferenceKind};

mod text;

#[cfg(test)]
mod tests;

/// The jobs of a program, with the bodies that they read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Snapshot {
    /// The comments before the first job.
    head: Vec<String>,
    jobs: BTreeMap<String, Job>,
    /// The comments after the last job.
    tail: Vec<String>,
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
    /// The request types of the messages that it concerns.
    pub(crate) request_types: Vec<String>,
}

/// A difference that is harmless, or a place that could not be checked.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Warning {
    pub(crate) job: String,
    pub(crate) path: String,
    pub(crate) kind: WarningKind,
    pub(crate) message: String,
}

/// The kind of a [`Warning`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WarningKind {
    /// Workers of the version before do not read what this one publishes.
    OlderWorkers,
    /// A field that is no longer read.
    FieldDropped,
    /// A place that could not be checked.
    NotSeen,
}

/// The result of comparing a program with a snapshot.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    /// The messages that the program does not read.
    pub(crate) changes: Vec<Changed>,
    pub(crate) warnings: Vec<Warning>,
}

impl Snapshot {
    /// Creates the snapshot of this program.
    pub(crate) fn of(registry: &Registry) -> Self {
        let job = |known: DescribedJob| {
            let mut aliases: Vec<_> = known.aliases.iter().map(|alias| (*alias).to_owned()).collect();
            aliases.sort_unstable();
            let unique = known.unique.map(str::to_owned);
            (known.request_type.to_owned(), Job { aliases, unique, shape: known.shape(&[]), ..Job::default() })
        };
        Self { jobs: registry.jobs().map(job).collect(), ..Self::default() }
    }

    /// Takes over the comments and examples of the previous snapshot, for jobs that are in both, if only as an alias. The
    /// examples show what is read where pulpo has found nothing.
    pub(crate) fn with_notes_of(mut self, before: Self, registry: &Registry) -> Self {
        (self.head, self.tail) = (before.head, before.tail);
        for (name, job) in before.jobs {
            let Some(known) = registry.job(&name) else { continue };
            let Some(now) = self.jobs.get_mut(known.request_type) else { continue };
            now.comments.extend(job.comments);
            for example in job.examples {
                if !now.examples.contains(&example) {
                    now.examples.push(example);
                }
            }
        }
        for (name, now) in &mut self.jobs {
            let Some(known) = registry.job(name).filter(|_| !now.examples.is_empty()) else { continue };
            if !now.shape.unseen().is_empty() {
                now.shape = known.shape(&now.bodies());
            }
        }
        self
    }

    /// Returns the examples that this program does not read.
    pub(crate) fn unread_examples(&self, registry: &Registry) -> Vec<(String, String)> {
        let mut unread = Vec::new();
        for (name, job) in &self.jobs {
            let Some(known) = registry.job(name) else { continue };
            for example in &job.examples {
                if let Err(error) = known.check(example) {
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

    /// Compares this snapshot with a program that is to read its messages. Jobs in `allowed` may be missing.
    pub(crate) fn compare(&self, registry: &Registry, allowed: &[String]) -> Comparison {
        let mut compared = Comparison::default();
        for (name, job) in &self.jobs {
            let now = registry.job(name);
            let serving = now.as_ref().map(|known| known.request_type);
            // An alias may belong to another job now.
            let elsewhere = |alias: &&String| registry.job(alias).filter(|known| Some(known.request_type) != serving);
            match &now {
                Some(known) => {
                    let aliases = job.aliases.iter().filter(|alias| elsewhere(alias).is_none());
                    let request_types = [name].into_iter().chain(aliases).cloned().collect();
                    job.compare(name, known, request_types, &mut compared);
                }
                None if allowed.contains(name) => {}
                None => compared.changes.push(self.gone(name, job, registry)),
            }
            for alias in &job.aliases {
                if let Some(known) = elsewhere(&alias) {
                    job.compare(alias, &known, vec![alias.clone()], &mut compared);
                }
                if registry.job(alias).is_some() || allowed.contains(alias) {
                    continue;
                }
                compared.changes.push(Changed {
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
                    request_types: vec![alias.clone()],
                });
            }
        }
        compared
    }

    /// Describes a job that has no handler in the program any more.
    fn gone(&self, name: &str, job: &Job, registry: &Registry) -> Changed {
        let new: Vec<_> = registry.jobs().filter(|known| !self.jobs.contains_key(known.request_type)).collect();
        let bodies = job.bodies();
        let same = new.iter().find(|known| known.shape(&bodies) == job.shape).map(|known| known.request_type);
        let renamed = same.or_else(|| nearest(name, new.iter().map(|known| known.request_type)));
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
        Changed { job: name.to_owned(), difference, advice, request_types: vec![name.to_owned()] }
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
    /// Returns the examples as JSON.
    fn bodies(&self) -> Vec<Value> {
        self.examples.iter().filter_map(|example| serde_json::from_str(example).ok()).collect()
    }

    /// Compares this job with the one of a program that serves `name`, its name or an alias. `request_types` are those of
    /// its messages.
    fn compare(&self, name: &str, known: &DescribedJob, request_types: Vec<String>, compared: &mut Comparison) {
        let bodies = self.bodies();
        let (old, new) = (self.shape.clone().taught(&bodies), known.shape(&bodies));
        let warning = |path: String, kind, message| Warning { job: name.to_owned(), path, kind, message };
        let unread = old.unread_by(&new, known.probe);
        let not_seen = unread.unseen.iter().map(|path| {
            let message = "pulpo made up no body that this type reads, so this place is not checked: add `example` lines \
                           to the snapshot";
            warning(path.clone(), WarningKind::NotSeen, message.to_owned())
        });
        compared.warnings.extend(not_seen);
        if let Some((path, message)) = old.refusal_of(&new) {
            let message = format!(
                "workers of the version before do not read what this one publishes ({message}): their messages wait for \
                 a worker of this version, within unknown_type_grace; replace the workers before the producers"
            );
            compared.warnings.push(warning(path, WarningKind::OlderWorkers, message));
        }
        let dropped = new.dropped_since(&old);
        for field in &dropped {
            compared.warnings.push(warning(field.path.clone(), WarningKind::FieldDropped, field.error.clone()));
        }
        let changed = |difference, advice| {
            let request_types = request_types.clone();
            Changed { job: name.to_owned(), difference, advice, request_types }
        };
        let mut found = unread.into_differences();
        for example in &self.examples {
            if let Err(MessageError::Body { path, source }) = known.check(example) {
                let error = source.to_string();
                let missing = error.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
                let path = missing.map_or(path.clone(), |field| format!("{path}.{field}"));
                if found.iter().all(|known| known.path != path) {
                    let (before, after) = (Some(example.clone()), None);
                    found.push(Difference { path, kind: DifferenceKind::ValueRefused, error, before, after });
                }
            }
        }
        compared.changes.extend(found.into_iter().map(|difference| {
            let advice = advice(&difference, &dropped);
            changed(difference, advice)
        }));
        if let Some(difference) = self.other_key(&old, &new, known) {
            let advice = "keep the key; or let this job do its work twice during the deploy, and write the new key into \
                          the snapshot with `check --update`";
            compared.changes.push(changed(difference, advice.to_owned()));
        } else if self.unique.is_some()
            && known.unique.is_some()
            && name != known.request_type
            && !self.aliases.iter().any(|alias| alias == name)
        {
            let now = known.request_type;
            let advice = format!(
                "rename it while no message of it waits; or let it do its work twice during the deploy; then write \
                 the name `{now}` into the snapshot with `check --update`"
            );
            let error = format!("unique keys belong to a name, and `{name}` is `{now}` now");
            compared.changes.push(changed(other_key(&error, name.to_owned(), now.to_owned()), advice));
        }
    }

    /// Reports a unique key that differs between the waiting messages and this program. A job that became unique, or no
    /// longer is, takes no key away from other messages.
    fn other_key(&self, old: &Shape, new: &Shape, known: &DescribedJob) -> Option<Difference> {
        let (before, after) = (self.unique.as_deref()?, known.unique?);
        if before.is_empty() && after.is_empty() {
            return self.other_body(old, new, known);
        }
        let paths = if before.is_empty() { None } else { old.paths_of_key(before) };
        let is_unchanged = |path: &String| old.0.get(path) == new.0.get(path);
        let error = match paths {
            Some(paths) if before == after && paths.iter().all(is_unchanged) => return None,
            Some(paths) => {
                // The two versions are compared by the keys of the same bodies.
                let samples = old.key_samples(&paths).into_iter().filter_map(|sample| {
                    let values = RawValue::from_string(sample.values).ok()?;
                    Some(keys::key(&values) == keys::key(&known.unique_values(&sample.body)?))
                });
                let same: Vec<_> = samples.collect();
                let is_same = if same.is_empty() { before == after } else { same.into_iter().all(|same| same) };
                match is_same {
                    true => return None,
                    false if before == after => "the values in the unique key are written in another way",
                    false => "the unique key is made of other fields",
                }
            }
            None if before == after => return None,
            None => "the unique key is made of other fields",
        };
        Some(other_key(error, key_of(before), key_of(after)))
    }

    /// Reports a job that is unique by its whole body, and whose body is written in another way than before.
    fn other_body(&self, old: &Shape, new: &Shape, known: &DescribedJob) -> Option<Difference> {
        if old == new {
            return None;
        }
        let sample = old.key_samples(&[]).pop()?;
        let written = known.unique_values(&sample.body)?;
        let (sample, written) = (serde_json::from_str(&sample.body).ok()?, serde_json::from_str(written.get()).ok()?);
        let place = old.written_differently(new, &sample, &written)?;
        let error = format!("the body in the unique key is written in another way, at {place}");
        Some(other_key(&error, key_of(""), key_of("")))
    }
}

fn other_key(error: &str, before: String, after: String) -> Difference {
    Difference {
        path: "header.unique_key".to_owned(),
        kind: DifferenceKind::UniqueKeyChanged,
        error: format!("{error}: a waiting message no longer blocks a duplicate"),
        before: Some(before),
        after: Some(after),
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

//! One table of the arguments of `#[pulpo::handler(…)]` and `#[job(…)]`: the name of each, how it
//! is written, and where it is allowed. The parser, the checks, all advice and the table in the
//! documentation follow it.

use proc_macro2::Ident;
use syn::ext::IdentExt as _;

/// One known argument.
pub(crate) struct Known {
    pub(crate) name: &'static str,
    /// An example, for advice and the documentation.
    pub(crate) example: &'static str,
    pub(crate) owner: Owner,
    pub(crate) forms: Forms,
    /// Whether it may be repeated.
    pub(crate) repeated: bool,
}

/// The owner of an argument, which determines where it is allowed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The job: in `#[job(…)]`, or in `#[pulpo::handler("name", …)]` if the type declares no job.
    Job,
    /// The function: only in `#[pulpo::handler(…)]`.
    Handler,
    /// The place where it is written: in either attribute.
    Either,
}

/// The forms that an argument may have.
#[derive(Clone, Copy)]
pub(crate) struct Forms {
    /// `name`
    pub(crate) word: bool,
    /// `name = value`
    pub(crate) value: bool,
    /// `name(tokens)`
    pub(crate) list: bool,
    /// `name(tokens) = value`
    pub(crate) list_and_value: bool,
}

impl Forms {
    pub(crate) const NONE: Self = Self { word: false, value: false, list: false, list_and_value: false };
    pub(crate) const VALUE: Self = Self { value: true, ..Self::NONE };
    const WORD_OR_LIST: Self = Self { word: true, list: true, ..Self::NONE };
    const LIST_AND_VALUE: Self = Self { list_and_value: true, ..Self::NONE };
    const VALUE_OR_LIST: Self = Self { list: true, ..Self::VALUE };
}

/// The named arguments, in the order of the documentation.
pub(crate) const TABLE: &[Known] = &[
    job("queue", r#"queue = "mail""#),
    job("priority", "priority = 10"),
    job("max_attempts", "max_attempts = 5"),
    job("backoff", r#"backoff = "1s..1h""#),
    job("ttr", r#"ttr = "60s""#),
    job("timeout", r#"timeout = "30s""#),
    Known { forms: Forms::WORD_OR_LIST, ..job("unique", "unique(account_id)") },
    job("unique_for", r#"unique_for = "waiting""#),
    job("on_duplicate", r#"on_duplicate = "replace""#),
    job("rate", r#"rate = "10/1s""#),
    job("limit", "limit = 1"),
    Known { forms: Forms::LIST_AND_VALUE, ..job("rate_by", r#"rate_by(tenant) = "10/1s""#) },
    Known { forms: Forms::LIST_AND_VALUE, ..job("limit_by", "limit_by(tenant) = 1") },
    Known { owner: Owner::Handler, ..job("batch", "batch = 100") },
    Known { owner: Owner::Handler, ..job("linger", r#"linger = "2s""#) },
    Known {
        owner: Owner::Handler,
        forms: Forms::VALUE_OR_LIST,
        repeated: true,
        ..job("cron", r#"cron = "0 3 * * MON-FRI""#)
    },
    Known { owner: Owner::Handler, ..job("every", r#"every = "5m""#) },
    Known { owner: Owner::Handler, ..job("tz", r#"tz = "Europe/Berlin""#) },
    Known { owner: Owner::Handler, ..job("missed", r#"missed = "one""#) },
    Known { owner: Owner::Handler, ..job("overlap", r#"overlap = "skip""#) },
    Known { repeated: true, ..job("alias", r#"alias = "old_name""#) },
    Known { owner: Owner::Either, ..job("crate", "crate = path") },
];

/// Describes an argument of the job that has a value and is given once.
const fn job(name: &'static str, example: &'static str) -> Known {
    Known { name, example, owner: Owner::Job, forms: Forms::VALUE, repeated: false }
}

/// The names that other frameworks use for these arguments, and common guesses.
const SYNONYMS: &[(&str, &[&str])] = &[
    ("queue", &["tube", "channel", "topic", "queue_name", "on_queue"]),
    ("priority", &["prio", "urgency", "weight"]),
    ("max_attempts", &["max_retries", "retries", "retry", "attempts", "tries", "max_tries", "retry_limit", "max_runs"]),
    ("backoff", &["retry_delay", "retry_after", "retry_in", "wait", "pause", "retry_backoff", "delay_between"]),
    ("ttr", &["lease", "time_to_run", "visibility_timeout", "visibility", "lock_duration", "heartbeat"]),
    ("timeout", &["deadline", "max_duration", "time_limit", "max_runtime", "run_timeout"]),
    ("unique", &["unique_by", "uniq", "unique_key", "unique_args", "dedup", "dedupe", "deduplicate", "idempotent"]),
    ("unique_for", &["unique_until", "unique_within", "unique_period", "dedup_window", "lock_ttl"]),
    ("on_duplicate", &["on_conflict", "conflict", "if_duplicate", "duplicates"]),
    ("rate", &["rate_limit", "throttle", "throttling", "max_rate"]),
    ("limit", &["global_limit", "global_concurrency", "max_running", "concurrency_limit", "exclusive"]),
    ("rate_by", &["rate_limit_by", "throttle_by"]),
    ("limit_by", &["concurrency_key", "limit_key", "partition_by"]),
    ("batch", &["batch_size", "bulk", "chunk", "chunk_size", "prefetch"]),
    ("linger", &["batch_timeout", "max_wait", "batch_wait", "gather"]),
    ("cron", &["crontab", "schedule", "scheduled", "at", "periodic", "recurring", "cron_schedule"]),
    ("every", &["interval", "period", "repeat", "repeat_every", "each"]),
    ("tz", &["timezone", "time_zone", "zone"]),
    ("missed", &["catchup", "catch_up", "backfill", "misfire", "on_missed"]),
    ("overlap", &["overlapping", "concurrency_policy", "on_overlap", "no_overlap", "allow_overlap"]),
    ("alias", &["aliases", "former", "formerly", "old_name", "old_names", "also", "renamed_from"]),
    ("crate", &["krate", "pulpo", "path"]),
];

/// Settings of one message or of the configuration, and where to set them.
const ELSEWHERE: &[(&[&str], &str)] = &[
    (
        &["expires", "expiration", "expire", "expires_in", "expires_at", "ttl"],
        "each message has its own: publish `pulpo::Message::new(body).expiration(…)`",
    ),
    (
        &["delay", "run_at", "run_in", "eta", "countdown", "schedule_in", "not_before"],
        "each message has its own: publish `pulpo::Message::new(body).delay(…)`",
    ),
    (&["header", "headers"], "each message has its own: publish `pulpo::Message::new(body).header(name, value)`"),
    (
        &["concurrency", "max_concurrency", "workers", "threads", "lanes", "parallel", "parallelism"],
        "it belongs to the worker: set `concurrency` in its configuration",
    ),
    (&["state", "with"], "state is a parameter: take `pulpo::State<T>` after the body"),
];

/// Returns the argument of this name.
pub(crate) fn known<'t>(table: &'t [Known], name: &Ident) -> Option<&'t Known> {
    let name = name.unraw();
    table.iter().find(|known| name == known.name)
}

/// Explains why there is no argument of this name, and what to write instead.
pub(crate) fn unknown(table: &[Known], name: &Ident) -> String {
    let text = name.unraw().to_string();
    let lower = text.to_lowercase();
    if let Some((_, advice)) = ELSEWHERE.iter().find(|(names, _)| names.contains(&&*lower)) {
        return format!("unknown argument `{text}`: {advice}");
    }
    let example = |name: &str| table.iter().find(|known| known.name == name).map(|known| known.example);
    if let Some(example) = synonym(&lower).and_then(example) {
        return format!("unknown argument `{text}`: write `{example}`");
    }
    match (nearest(&lower, table), nearest_synonym(&lower).and_then(example)) {
        (Some(known), _) => format!("unknown argument `{text}`: did you mean `{known}`?"),
        (None, Some(example)) => format!("unknown argument `{text}`: write `{example}`"),
        (None, None) => {
            let names: Vec<_> = table.iter().map(|known| known.name).collect();
            format!("unknown argument `{text}`: expected one of {}", names.join(", "))
        }
    }
}

/// Returns the argument that an unknown name stands for, by a table of synonyms or by its letters.
pub(crate) fn meant(table: &[Known], name: &Ident) -> Option<&'static str> {
    let lower = name.unraw().to_string().to_lowercase();
    synonym(&lower).or_else(|| nearest(&lower, table)).or_else(|| nearest_synonym(&lower))
}

fn synonym(name: &str) -> Option<&'static str> {
    SYNONYMS.iter().find(|(_, names)| names.contains(&name)).map(|(known, _)| *known)
}

/// Returns the argument whose synonym is nearly this name.
fn nearest_synonym(name: &str) -> Option<&'static str> {
    let all = SYNONYMS.iter().flat_map(|(known, names)| names.iter().map(move |synonym| (*known, *synonym)));
    let similar = all.map(|(known, synonym)| (strsim::jaro_winkler(name, synonym), known));
    similar.filter(|(similarity, _)| *similarity > 0.92).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known)
}

/// Returns the known name most similar to this one, if any is similar at all.
fn nearest(name: &str, table: &[Known]) -> Option<&'static str> {
    table
        .iter()
        .map(|known| (strsim::jaro_winkler(name, known.name), known.name))
        .filter(|(similarity, _)| *similarity > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::{ELSEWHERE, Owner, SYNONYMS, TABLE};

    /// Returns the rows of the table in the documentation of `handler`.
    fn documented() -> Vec<(&'static str, &'static str)> {
        let rows = include_str!("lib.rs").lines().skip_while(|line| !line.starts_with("/// | argument |")).skip(2);
        rows.map_while(|row| row.strip_prefix("/// | `"))
            .map(|row| row.split_once("` | ").expect("an argument and its meaning"))
            .collect()
    }

    #[test]
    fn the_documentation_has_the_same_arguments() {
        let documented = documented();
        let written: Vec<_> = documented.iter().map(|(example, _)| *example).collect();
        let known: Vec<_> = TABLE.iter().map(|known| known.example).collect();
        assert_eq!(written, known);
        for (known, (_, meaning)) in TABLE.iter().zip(documented) {
            assert_eq!(meaning.contains("may be repeated"), known.repeated, "{}", known.name);
        }
    }

    /// Returns the names in code font in the sentence of the documentation that begins with these words.
    fn names_in_the_sentence(beginning: &str) -> Vec<&'static str> {
        let text = include_str!("lib.rs");
        let start = text.find(beginning).unwrap_or_else(|| panic!("no sentence begins with {beginning}"));
        let sentence = text[start + beginning.len()..].split('.').next().expect("a sentence");
        sentence.split('`').skip(1).step_by(2).collect()
    }

    #[test]
    fn the_documentation_says_which_arguments_stay_with_the_handler() {
        let of_the_handler: Vec<_> =
            TABLE.iter().filter(|known| known.owner == Owner::Handler).map(|known| known.name).collect();
        assert_eq!(names_in_the_sentence("/// its schedule: "), of_the_handler);
        // The schedule's arguments have no names there, and `crate` is in both.
        assert_eq!(names_in_the_sentence("[`derive(Job)`](macro@Job). "), ["batch", "linger", "crate"]);
    }

    #[test]
    fn an_example_is_of_its_argument() {
        for known in TABLE {
            let name = known.example.split(['(', ' ']).next();
            assert_eq!(name, Some(known.name));
        }
    }

    #[test]
    fn every_synonym_leads_to_an_argument_that_exists() {
        let exists = |name: &str| TABLE.iter().any(|known| known.name == name);
        for (known, synonyms) in SYNONYMS {
            assert!(exists(known), "{known}");
            for synonym in *synonyms {
                assert!(!exists(synonym), "{synonym} is an argument by now");
            }
        }
        for (names, _) in ELSEWHERE {
            for name in *names {
                assert!(!exists(name), "{name} is an argument by now");
            }
        }
    }
}

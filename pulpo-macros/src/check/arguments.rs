//! The arguments: each must be known, given once, and in its form and range.

use std::collections::HashSet;
use std::time::Duration;

use proc_macro2::TokenStream;
use syn::ext::IdentExt as _;
use syn::parse::Parser as _;
use syn::{Ident, LitStr, Path};

use super::keys::{Fields, OnDuplicate, Rate, Unique, UniqueFor};
use super::schedule::{Given, Schedule};
use super::{keys, name, value};
use crate::attr::{self, Arguments, Named, Written};
use crate::faults::{Faults, of_the_attribute};
use crate::table::{Owner, TABLE, known, meant, unknown};

/// The job as the attribute describes it.
pub(crate) struct Job {
    pub(crate) request_type: RequestType,
    pub(crate) aliases: Vec<LitStr>,
    pub(crate) policy: Policy,
    pub(crate) batch: Option<Batch>,
    pub(crate) schedule: Option<Schedule>,
    /// The part of a message that makes it unique.
    pub(crate) unique: Option<Unique>,
    /// The fields by which its limits tell messages apart.
    pub(crate) rate_by: Option<Fields>,
    pub(crate) limit_by: Option<Fields>,
    /// Whether the attribute sets the job's policy without naming the job, which is a fault.
    pub(crate) policy_without_a_name: bool,
    /// Whether `batch` is given, valid or not; `None` if it is malformed or misspelt, and perhaps not meant.
    pub(crate) takes_a_batch: Option<bool>,
    /// The path of the crate `pulpo`, if the attribute gives one.
    pub(crate) pulpo: Option<Path>,
}

/// The batch size and linger of a handler that takes several messages at once.
pub(crate) struct Batch {
    pub(crate) most: u32,
    pub(crate) linger: Duration,
}

/// The name by which messages ask for the job.
pub(crate) enum RequestType {
    Given(LitStr),
    /// A handler without a name takes its body type's name, and with it the whole policy declared there.
    OfTheBody,
    Faulty,
}

/// The attribute in which the arguments are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In `#[pulpo::handler(…)]`.
    Handler,
    /// In `#[job(…)]`.
    Job,
}

/// The policy that the attribute sets for runs of the job; `None` means the default.
#[derive(Default)]
pub(crate) struct Policy {
    pub(crate) queue: Option<String>,
    pub(crate) priority: Option<u32>,
    pub(crate) max_attempts: Option<u32>,
    pub(crate) backoff: Option<(Duration, Duration)>,
    pub(crate) ttr: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) unique_for: Option<UniqueFor>,
    pub(crate) on_duplicate: Option<OnDuplicate>,
    pub(crate) rate: Option<Rate>,
    pub(crate) limit: Option<u32>,
    pub(crate) rate_by: Option<Rate>,
    pub(crate) limit_by: Option<u32>,
}

impl Job {
    /// Returns a policy about which nothing is known.
    pub(super) fn unknown() -> Self {
        Self {
            request_type: RequestType::Faulty,
            aliases: Vec::new(),
            policy: Policy::default(),
            batch: None,
            schedule: None,
            unique: None,
            rate_by: None,
            limit_by: None,
            policy_without_a_name: false,
            takes_a_batch: Some(false),
            pulpo: None,
        }
    }
}

pub(super) fn check(arguments: Arguments, place: Place, faults: &mut Faults) -> Job {
    let mut job = Job::unknown();
    job.request_type = request_type(&arguments, place, faults);
    job.policy_without_a_name =
        matches!((&arguments.request_type, &job.request_type), (attr::RequestType::Missing, RequestType::Faulty));
    // An argument that depends on a faulty one is not a fault too.
    let mut given = HashSet::new();
    let mut faulty: HashSet<_> = arguments.malformed.into_iter().collect();
    let mut linger: Option<(Ident, Duration)> = None;
    let mut schedule = Given::default();
    let mut of_unique: Vec<Ident> = Vec::new();
    let mut replace: Option<LitStr> = None;
    for Named { name, written } in arguments.named {
        let text = name.unraw().to_string();
        let policy = &mut job.policy;
        let Some(known) = known(TABLE, &name) else {
            faults.at(&name, unknown(TABLE, &name));
            faulty.extend(meant(TABLE, &name));
            continue;
        };
        if !given.insert(known.name) && !known.repeated {
            faults.at(&name, format!("expected `{text}` once, got it again: keep one of them"));
            continue;
        }
        if known.owner == Owner::Handler && place == Place::Job {
            let written = written.text();
            faults.at(
                &name,
                format!(
                    "`{text}` says when and how a handler runs: write it there, `#[pulpo::handler({text}{written})]`"
                ),
            );
            continue;
        }
        if schedule.take(&name, &written, faults) {
            continue;
        }
        let value = match (known.name, written) {
            ("unique", written) => {
                job.unique = faults.keep(keys::unique(&written));
                continue;
            }
            ("rate_by", Written::ListAndValue(fields, rate)) => {
                job.rate_by = faults.keep(keys::fields(&fields, "rate_by"));
                policy.rate_by = faults.keep(keys::rate(rate));
                continue;
            }
            ("limit_by", Written::ListAndValue(fields, limit)) => {
                job.limit_by = faults.keep(keys::fields(&fields, "limit_by"));
                policy.limit_by = faults.keep(keys::limit(limit));
                continue;
            }
            (_, Written::Value(value)) => value,
            _ => unreachable!("each argument has a form of the table"),
        };
        match known.name {
            "queue" => policy.queue = faults.keep(name::queue(value)),
            "priority" => policy.priority = faults.keep(value::priority(value)),
            "max_attempts" => policy.max_attempts = faults.keep(value::max_attempts(value)),
            "backoff" => policy.backoff = faults.keep(value::backoff(value)),
            "ttr" => policy.ttr = faults.keep(value::ttr(value)),
            "timeout" => policy.timeout = faults.keep(value::timeout(value)),
            "unique_for" => {
                policy.unique_for = faults.keep(keys::unique_for(value));
                of_unique.push(name);
            }
            "on_duplicate" => {
                let kept = faults.keep(keys::on_duplicate(value));
                policy.on_duplicate = kept.as_ref().map(|(_, on_duplicate)| *on_duplicate);
                replace = kept.filter(|(_, said)| *said == OnDuplicate::Replace).map(|(literal, _)| literal);
                of_unique.push(name);
            }
            "rate" => policy.rate = faults.keep(keys::rate(value)),
            "limit" => policy.limit = faults.keep(keys::limit(value)),
            "batch" => {
                let most = faults.keep(value::batch(value));
                job.batch = most.map(|most| Batch { most, linger: Duration::ZERO });
            }
            "linger" => linger = faults.keep(value::linger(value)).map(|duration| (name, duration)),
            "alias" => alias(value, &mut job, faults),
            "crate" => job.pulpo = faults.keep(pulpo(value)).or(job.pulpo),
            _ => unreachable!("every argument of the table is checked here"),
        }
    }
    if let Some((name, duration)) = linger {
        match &mut job.batch {
            Some(batch) => batch.linger = duration,
            // A faulty `batch` has been reported.
            None if given.contains("batch") || faulty.contains("batch") => {}
            None => faults.at(&name, "expected `batch` beside `linger`: how many messages to wait for, `batch = 100`"),
        }
    }
    match of_unique.first() {
        Some(name) if !given.contains("unique") && !faulty.contains("unique") => faults.at(
            name,
            format!("expected `unique` beside `{name}`: which fields tell two jobs apart, `unique(account_id)`"),
        ),
        _ => replaces_what_waits(&job, replace, given.contains("unique_for") || faulty.contains("unique_for"), faults),
    }
    job.takes_a_batch = if faulty.contains("batch") { None } else { Some(given.contains("batch")) };
    job.schedule = if faulty.contains("cron") || faulty.contains("every") { None } else { schedule.finish(faults) };
    job
}

/// Checks that `replace` is used only for waiting jobs: a job that may have started cannot be replaced.
fn replaces_what_waits(job: &Job, replace: Option<LitStr>, is_said: bool, faults: &mut Faults) {
    let Some(replace) = replace else { return };
    match job.policy.unique_for {
        Some(UniqueFor::Waiting) => {}
        // A faulty `on_duplicate` has been reported.
        None if is_said => {}
        _ => faults.at(
            &replace,
            "expected `unique_for = \"waiting\"` beside \"replace\": a job that may have started cannot be replaced",
        ),
    }
}

fn request_type(arguments: &Arguments, place: Place, faults: &mut Faults) -> RequestType {
    match &arguments.request_type {
        attr::RequestType::Written(literal) => {
            faults.keep(name::request_type(literal.clone())).map_or(RequestType::Faulty, RequestType::Given)
        }
        attr::RequestType::Faulty => RequestType::Faulty,
        attr::RequestType::Missing if place == Place::Job => {
            faults.push(of_the_attribute("expected the request type as the first argument: #[job(\"its_name\")]"));
            RequestType::Faulty
        }
        attr::RequestType::Missing => match arguments.named.iter().find(|argument| is_of_the_job(&argument.name)) {
            None => RequestType::OfTheBody,
            Some(Named { name, written }) => {
                let written = format!("{name}{}", written.text());
                faults.at(
                    name,
                    format!(
                        "expected the request type as the first argument, `#[pulpo::handler(\"its_name\", {written})]`; \
                         or, if the body type has `#[derive(pulpo::Job)]`, `{written}` in its `#[job(…)]`"
                    ),
                );
                RequestType::Faulty
            }
        },
    }
}

/// Checks whether an argument describes the job, not its handler.
fn is_of_the_job(name: &Ident) -> bool {
    known(TABLE, name).is_some_and(|known| known.owner == Owner::Job)
}

fn alias(value: TokenStream, job: &mut Job, faults: &mut Faults) {
    let Some(alias) = faults.keep(name::alias(value)) else {
        return;
    };
    let same = |other: &LitStr| other.value() == alias.value();
    if matches!(&job.request_type, RequestType::Given(request_type) if same(request_type)) {
        faults.at(&alias, "expected an alias other than the request type: remove it");
    } else if job.aliases.iter().any(same) {
        faults.at(&alias, "expected each alias once, got it again: remove it");
    } else {
        job.aliases.push(alias);
    }
}

fn pulpo(value: TokenStream) -> syn::Result<Path> {
    Path::parse_mod_style.parse2(value.clone()).map_err(|_| {
        syn::Error::new_spanned(
            &value,
            format!("expected the path of the crate pulpo such as `::pulpo`, without quotes, got `{value}`"),
        )
    })
}

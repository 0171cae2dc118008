//! The arguments: known, given once, each in its form and range.

use std::collections::HashSet;
use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use syn::ext::IdentExt as _;
use syn::parse::Parser as _;
use syn::{Ident, LitStr, Path};

use super::{name, value};
use crate::attr::{Arguments, KNOWN, Named, RequestType};
use crate::faults::Faults;

/// What the attribute says of the job.
pub(crate) struct Job {
    pub(crate) request_type: Option<LitStr>,
    pub(crate) aliases: Vec<LitStr>,
    pub(crate) policy: Policy,
    /// The crate `pulpo`, as this place names it.
    pub(crate) pulpo: Path,
}

/// What the attribute says of how the job is run; `None`: as by default.
#[derive(Default)]
pub(crate) struct Policy {
    pub(crate) queue: Option<String>,
    pub(crate) priority: Option<u32>,
    pub(crate) max_attempts: Option<u32>,
    pub(crate) backoff: Option<(Duration, Duration)>,
    pub(crate) ttr: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
}

pub(super) fn check(arguments: Arguments, faults: &mut Faults) -> Job {
    let mut job = Job {
        request_type: request_type(arguments.request_type, faults),
        aliases: Vec::new(),
        policy: Policy::default(),
        pulpo: syn::parse_quote!(::pulpo),
    };
    let mut given = HashSet::new();
    for Named { name, value } in arguments.named {
        let text = name.unraw().to_string();
        let policy = &mut job.policy;
        if text != "alias" && is_known(&text) && !given.insert(text.clone()) {
            faults.at(&name, format!("expected `{text}` once, got it again: keep one of them"));
            continue;
        }
        match text.as_str() {
            "queue" => policy.queue = faults.keep(name::queue(value)),
            "priority" => policy.priority = faults.keep(value::priority(value)),
            "max_attempts" => policy.max_attempts = faults.keep(value::max_attempts(value)),
            "backoff" => policy.backoff = faults.keep(value::backoff(value)),
            "ttr" => policy.ttr = faults.keep(value::ttr(value)),
            "timeout" => policy.timeout = faults.keep(value::timeout(value)),
            "alias" => alias(value, &mut job, faults),
            "crate" => {
                if let Some(path) = faults.keep(pulpo(value)) {
                    job.pulpo = path;
                }
            }
            _ => faults.at(&name, unknown(&name)),
        }
    }
    job
}

fn request_type(written: RequestType, faults: &mut Faults) -> Option<LitStr> {
    match written {
        RequestType::Written(literal) => faults.keep(name::request_type(literal)),
        RequestType::Faulty => None,
        RequestType::Missing => {
            // On the attribute itself: it has no token that is wrong.
            faults.push(syn::Error::new(
                Span::call_site(),
                "expected the request type as the first argument: #[pulpo::handler(\"its_name\")]",
            ));
            None
        }
    }
}

fn alias(value: TokenStream, job: &mut Job, faults: &mut Faults) {
    let Some(alias) = faults.keep(name::alias(value)) else {
        return;
    };
    let same = |other: &LitStr| other.value() == alias.value();
    if job.request_type.as_ref().is_some_and(same) {
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

fn is_known(name: &str) -> bool {
    KNOWN.iter().any(|(known, _)| *known == name)
}

fn unknown(name: &Ident) -> String {
    let text = name.unraw().to_string();
    let nearest = KNOWN
        .iter()
        .map(|(known, _)| (strsim::jaro_winkler(&text, known), *known))
        .filter(|(similarity, _)| *similarity > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((_, known)) => format!("unknown argument `{text}`: did you mean `{known}`?"),
        None => format!("unknown argument `{text}`: expected one of {}", KNOWN.map(|(known, _)| known).join(", ")),
    }
}

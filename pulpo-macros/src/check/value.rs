//! Values: strings, whole numbers and durations, in their ranges.

use std::time::Duration;

use proc_macro2::{TokenStream, TokenTree};
use syn::{LitInt, LitStr};

/// Beanstalkd counts time in unsigned 32-bit seconds: some 136 years.
const LONGEST: Duration = Duration::from_secs(u32::MAX as u64);

/// A shorter one would be zero in a queue, or lose most of its digits.
const SHORTEST: Duration = Duration::from_millis(1);

pub(super) fn string(value: TokenStream, what: &str, example: &str) -> syn::Result<LitStr> {
    syn::parse2::<LitStr>(value.clone()).ok().filter(|literal| literal.suffix().is_empty()).ok_or_else(|| {
        let advice = unquoted(&value).map_or_else(String::new, |name| format!(": write \"{name}\""));
        fault(&value, format!("expected {what} in a string such as {example:?}, got `{value}`{advice}"))
    })
}

/// Returns the name that was meant by words without quotes, such as `Europe/Berlin` or `send-mail`.
fn unquoted(value: &TokenStream) -> Option<String> {
    let is_word = |token: &TokenTree| matches!(token, TokenTree::Ident(_));
    let is_sign = |token: &TokenTree| matches!(token, TokenTree::Punct(sign) if matches!(sign.as_char(), '/' | '-'));
    let tokens: Vec<_> = value.clone().into_iter().collect();
    let fits = |(place, token): (usize, &TokenTree)| if place % 2 == 0 { is_word(token) } else { is_sign(token) };
    let is_name = tokens.len() % 2 == 1 && tokens.iter().enumerate().all(fits);
    is_name.then(|| tokens.iter().map(ToString::to_string).collect())
}

pub(super) fn priority(value: TokenStream) -> syn::Result<u32> {
    number(&value, 0, "a priority from 0, the most urgent, to 4294967295")
}

pub(super) fn max_attempts(value: TokenStream) -> syn::Result<u32> {
    number(&value, 1, "a number of runs from 1 to 4294967295")
}

pub(super) fn batch(value: TokenStream) -> syn::Result<u32> {
    number(&value, 1, "a number of messages from 1 to 4294967295")
}

/// Parses how long a batch waits for more messages; may be zero.
pub(super) fn linger(value: TokenStream) -> syn::Result<Duration> {
    duration(&value).map(|(_, linger)| linger)
}

/// Parses the period of a schedule.
pub(super) fn every(value: &TokenStream) -> syn::Result<Duration> {
    let (literal, period) = duration(value)?;
    if period < Duration::from_secs(1) || !period.subsec_nanos().is_multiple_of(1000) {
        return Err(fault(
            &literal,
            format!("expected a period of at least \"1s\", in whole microseconds, got `{}`", literal.value()),
        ));
    }
    Ok(period)
}

/// Parses a `u32` that is at least `least`.
pub(super) fn number(value: &TokenStream, least: u32, what: &str) -> syn::Result<u32> {
    let number = syn::parse2::<LitInt>(value.clone())
        .ok()
        .filter(|literal| matches!(literal.suffix(), "" | "u32"))
        .and_then(|literal| literal.base10_parse::<u32>().ok())
        .filter(|number| *number >= least);
    number.ok_or_else(|| {
        let quoted = syn::parse2::<LitStr>(value.clone())
            .ok()
            .map(|literal| literal.value())
            .filter(|text| text.parse::<u32>().is_ok());
        let suffixed = syn::parse2::<LitInt>(value.clone()).ok().filter(|literal| !literal.suffix().is_empty());
        let digits = suffixed.map(|literal| literal.base10_digits().to_owned());
        let advice = match (quoted, digits.filter(|digits| digits.parse::<u32>().is_ok())) {
            (Some(text), _) => format!(": write {text} without the quotes"),
            (None, Some(digits)) => format!(": write {digits}"),
            (None, None) => String::new(),
        };
        fault(value, format!("expected {what}, got `{value}`{advice}"))
    })
}

/// Parses how long a worker without a sign of life keeps a message.
pub(super) fn ttr(value: TokenStream) -> syn::Result<Duration> {
    let (literal, ttr) = duration(&value)?;
    if ttr < Duration::from_secs(1) {
        return Err(fault(&literal, format!("expected a ttr of at least \"1s\", got `{}`", literal.value())));
    }
    Ok(ttr)
}

pub(super) fn timeout(value: TokenStream) -> syn::Result<Duration> {
    let (literal, timeout) = duration(&value)?;
    if timeout.is_zero() {
        return Err(fault(
            &literal,
            "expected a timeout longer than zero: leave it out to let the job run as long as it likes",
        ));
    }
    Ok(timeout)
}

/// Parses `first..most`, or one duration for both.
pub(super) fn backoff(value: TokenStream) -> syn::Result<(Duration, Duration)> {
    let form = "a backoff in a string such as \"1s..1h\", or \"5s\" if it does not grow";
    let literal = literal(&value, form)?;
    let text = literal.value();
    let (first, most) = text.split_once("..").unwrap_or((&text, &text));
    let (first, most) = (parse(&literal, first, form)?, parse(&literal, most, form)?);
    if first.is_zero() {
        return Err(fault(
            &literal,
            format!("expected a backoff longer than zero, got `{text}`: a job that fails would be run again at once"),
        ));
    }
    if first > most {
        return Err(fault(
            &literal,
            format!(
                "expected a backoff from the shortest pause to the longest, got `{text}`: write them the other way round"
            ),
        ));
    }
    Ok((first, most))
}

const DURATION: &str = "a duration in a string such as \"30s\"";

fn duration(value: &TokenStream) -> syn::Result<(LitStr, Duration)> {
    let literal = literal(value, DURATION)?;
    let duration = parse(&literal, &literal.value(), DURATION)?;
    Ok((literal, duration))
}

/// Parses a string. A duration without quotes gets the quoted form as advice.
fn literal(value: &TokenStream, form: &str) -> syn::Result<LitStr> {
    syn::parse2::<LitStr>(value.clone()).ok().filter(|literal| literal.suffix().is_empty()).ok_or_else(|| {
        let advice = meant(value).map_or_else(String::new, |advice| format!(": {advice}"));
        fault(value, format!("expected {form}, got `{value}`{advice}"))
    })
}

/// Returns the duration that was meant by one written without quotes.
fn meant(value: &TokenStream) -> Option<String> {
    let text: String = value.to_string().split(|c: char| c.is_whitespace() || c == '_').collect();
    let number =
        syn::parse_str::<LitInt>(&text).ok().filter(|number| is_a_type(number.suffix()) && !text.starts_with('-'));
    if let Some(seconds) = number {
        return Some(format!("write \"{}s\" for seconds", seconds.base10_digits()));
    }
    let called = |unit: &str| {
        let (path, rest) = text.split_once("(")?;
        let number = rest.strip_suffix(')').filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()))?;
        path.ends_with(unit).then(|| number.to_owned())
    };
    let constructors =
        [("fromsecs", "s"), ("frommillis", "ms"), ("frommins", "m"), ("fromhours", "h"), ("frommicros", "us")];
    let constructed = constructors.iter().find_map(|(function, unit)| Some(called(function)? + unit));
    let spelt = constructed.unwrap_or(text);
    let (first, most) = spelt.split_once("..").unwrap_or((&spelt, &spelt));
    let both = humantime::parse_duration(first).is_ok() && humantime::parse_duration(most).is_ok();
    both.then(|| format!("write \"{spelt}\""))
}

/// Checks whether this is the suffix of a whole number: none, or its type.
fn is_a_type(suffix: &str) -> bool {
    let bits = suffix.strip_prefix(['i', 'u']);
    suffix.is_empty() || bits.is_some_and(|bits| matches!(bits, "8" | "16" | "32" | "64" | "128" | "size"))
}

/// Uses the same parser as the configuration and the command line.
pub(super) fn parse(literal: &LitStr, text: &str, form: &str) -> syn::Result<Duration> {
    let duration = humantime::parse_duration(text.trim())
        .map_err(|error| fault(literal, format!("expected {form}, got `{}`: {error}", literal.value())))?;
    if duration > LONGEST {
        return Err(fault(
            literal,
            format!(
                "expected at most {} seconds, some 136 years, got `{}`: beanstalkd counts no further",
                LONGEST.as_secs(),
                literal.value()
            ),
        ));
    }
    if !duration.is_zero() && duration < SHORTEST {
        return Err(fault(
            literal,
            format!("expected at least \"1ms\", got `{}`: queues count in milliseconds", literal.value()),
        ));
    }
    Ok(duration)
}

/// Returns a question about the word that was probably meant, or nothing if none is similar.
pub(super) fn did_you_mean(word: &str, words: &[&str]) -> String {
    let lower = word.to_lowercase();
    // A word that begins otherwise may mean the contrary, such as "none" instead of "one".
    let begins_alike = |known: &&&str| known.chars().next() == lower.chars().next();
    words
        .iter()
        .filter(begins_alike)
        .map(|known| (strsim::jaro_winkler(&lower, known), known))
        .filter(|(similarity, _)| *similarity > 0.85)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or_else(String::new, |(_, known)| format!(": did you mean \"{known}\"?"))
}

pub(super) fn fault(tokens: impl quote::ToTokens, message: impl std::fmt::Display) -> syn::Error {
    syn::Error::new_spanned(tokens, message)
}

#[cfg(test)]
mod tests {
    use super::did_you_mean;

    #[test]
    fn a_word_with_a_slip_is_named_and_one_of_another_meaning_is_not() {
        let words = ["unfinished", "waiting", "keep", "replace", "reject", "one", "skip", "all", "allow"];
        let slips = [
            ("wating", "waiting"),
            ("Waiting", "waiting"),
            ("unfinshed", "unfinished"),
            ("replce", "replace"),
            ("rejected", "reject"),
            ("al", "all"),
            ("alow", "allow"),
            ("skipped", "skip"),
        ];
        for (slip, meant) in slips {
            assert_eq!(did_you_mean(slip, &words), format!(": did you mean \"{meant}\"?"), "{slip}");
        }
        for other in ["", "none", "disallow", "drop", "refuse", "always", "unlimited", "1h", "sometimes"] {
            assert_eq!(did_you_mean(other, &words), "", "{other}");
        }
    }
}

//! Output for people and programs: times, JSON, and no character that moves their cursor.

use std::io::Write;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::{Done, terminal, text};
use crate::keys::Publication;
use crate::message::MessageId;
use crate::queue::{Progress, Unreachable};
pub(super) use crate::report::visible;
use crate::report::{deceives, json};

/// Writes a sentence for a person, wrapped between words on a terminal.
pub(super) fn note(out: &mut dyn Write, sentence: &str) -> Done {
    match terminal::width() {
        Some(width) => text::wrap(sentence, width).iter().try_for_each(|line| writeln!(out, "{line}"))?,
        None => writeln!(out, "{sentence}")?,
    }
    Ok(())
}

/// Warns on standard error about a possible mistake.
pub(super) fn warn(warning: &str) {
    // A failed warning must not end the command.
    let _ = writeln!(std::io::stderr(), "{}", remark("warning", warning));
}

/// Returns a sentence for standard error, wrapped between words on a terminal.
pub(super) fn remark(kind: &str, sentence: &str) -> String {
    let line = format!("{kind}: {}", visible(sentence));
    match terminal::error_width() {
        Some(width) => text::wrap(&line, width).join("\n"),
        None => line,
    }
}

/// Writes JSON on several lines, escaping all that [`visible`] escapes.
pub(super) fn json(out: &mut dyn Write, value: &impl Serialize) -> Done {
    writeln!(out, "{}", escaped(&json::pretty(&serde_json::to_string(value)?)))?;
    Ok(())
}

/// Returns an error if there are messages that the queue cannot see.
pub(super) fn complete(unseen: u64) -> Done {
    if unseen == 0 {
        return Ok(());
    }
    let whose = if unseen == 1 { "it" } else { "them" };
    let words = "are beyond the reach of this queue's lists and may match too: ask for";
    Err(format!("{} {words} {whose} by id, or `kick` and `purge` by queue and state alone", counted(unseen, "message"))
        .into())
}

/// Writes JSON on one line.
pub(super) fn json_line(out: &mut dyn Write, value: &impl Serialize) -> Done {
    writeln!(out, "{}", escaped(&serde_json::to_string(value)?))?;
    Ok(())
}

/// Escapes such characters in JSON, where only texts can contain them; the ones left there are not ASCII.
pub(super) fn escaped(json: &str) -> String {
    json.chars().fold(String::with_capacity(json.len()), |mut shown, c| {
        if c != '\n' && (c.is_control() || deceives(c)) {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| shown.push_str(&format!("\\u{unit:04x}")));
        } else {
            shown.push(c);
        }
        shown
    })
}

/// Formats a duration roughly, `3m`: if it is hours, seconds do not matter.
pub(super) fn rough(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let unit = match seconds {
        0..60 => 1,
        60..3600 => 60,
        3600..86_400 => 3600,
        _ => return counted(seconds / 86_400, "day").replace(' ', ""),
    };
    humantime::format_duration(Duration::from_secs(seconds / unit * unit)).to_string()
}

/// Formats a time relative to now: `3m ago`, or `in 3m`.
pub(super) fn ago(time: DateTime<Utc>) -> String {
    let passed = Utc::now() - time;
    let size = passed.abs().to_std().unwrap_or_default();
    if passed.num_milliseconds() < 0 { format!("in {}", rough(size)) } else { format!("{} ago", rough(size)) }
}

/// Formats progress: `40%`, and the handler's text.
pub(super) fn progress(progress: &Progress) -> String {
    let percent = (progress.fraction * 100.0).round();
    // Show 100% only if all is done.
    let percent = if progress.fraction < 1.0 { percent.min(99.0) } else { percent };
    format!("{percent:.0}% {}", progress.text).trim_end().to_owned()
}

/// Formats a time and its age: `2026-11-23T09:00:00Z (3m ago)`.
pub(super) fn age(time: DateTime<Utc>) -> String {
    format!("{} ({})", at(time), ago(time))
}

/// Formats a time: `2026-11-23T09:00:00Z`.
pub(super) fn at(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Formats a count: `1 message`, `7 messages`.
pub(super) fn counted(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// Returns the error of a command that has printed the answers of all other servers.
pub(super) fn unreachable(servers: &[Unreachable]) -> Done {
    if servers.is_empty() {
        return Ok(());
    }
    if let [whole] = servers
        && whole.is_whole_queue()
    {
        return Err(format!("{} did not take part: {}", whole.server, whole.error).into());
    }
    let named: Vec<_> = servers.iter().map(|it| format!("{}: {}", it.server, it.error)).collect();
    Err(format!("not all servers took part: {}", named.join("; ")).into())
}

/// Says what came of the publication of one job.
pub(super) fn publication(name: &str, id: &MessageId, publication: Publication) -> String {
    match publication {
        Publication::New => format!("published {name} as message {id}"),
        Publication::Kept => format!("kept {name} as message {id}, which has the same unique key"),
        Publication::Replaced => format!("replaced {name} in message {id}, which has the same unique key"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_message_looks_like_something_else() {
        let text = "\u{85}\u{2028}\u{e0041}👩\u{200d}🔬";
        assert_eq!(visible(text), "\\u{85}\\u{2028}\\u{e0041}👩\u{200d}🔬");
        let shown = escaped(&serde_json::to_string(text).unwrap());
        assert_eq!(shown, "\"\\u0085\\u2028\\udb40\\udc41👩\u{200d}🔬\"");
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
    }

    #[test]
    fn nothing_in_a_message_moves_the_cursor() {
        assert_eq!(visible("a\u{1b}[2Jb\nc\td\u{9b}é\u{202e}"), "a\\u{1b}[2Jb\\nc\\td\\u{9b}é\\u{202e}");
        let hostile = serde_json::to_string("a\u{1b}\u{7f}\u{9b}é\u{202e}").unwrap();
        let shown = escaped(&hostile);
        assert_eq!(shown, r#""a\u001b\u007f\u009bé\u202e""#);
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), "a\u{1b}\u{7f}\u{9b}é\u{202e}");
    }
}

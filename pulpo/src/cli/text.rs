//! The width of texts on a terminal, and where their lines may be broken.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Returns the width in columns: an ideograph takes two, a combining accent takes none.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// Breaks the text between words into lines of at most this width. A word is broken only if it is longer than a line.
pub(super) fn wrap(text: &str, most: usize) -> Vec<String> {
    let most = most.max(1);
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split_inclusive(' ') {
        if width(&line) + width(word.trim_end()) > most && !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        line.push_str(word);
        while width(line.trim_end()) > most {
            let rest = line.split_off(end_of(&line, most));
            lines.push(std::mem::replace(&mut line, rest));
        }
    }
    lines.push(line);
    lines.iter_mut().for_each(|line| line.truncate(line.trim_end().len()));
    lines.retain(|line| !line.is_empty());
    lines
}

/// Returns where to break a word that is longer than this width: never before a character that combines with the one
/// before it.
fn end_of(word: &str, most: usize) -> usize {
    let mut joined = true;
    let mut end = word.len();
    for (at, c) in word.char_indices() {
        let apart = !joined && c.width().unwrap_or(0) > 0;
        joined = c == '\u{200d}';
        if apart {
            if width(&word[..at]) > most {
                break;
            }
            end = at;
            if width(&word[..at + c.len_utf8()]) > most {
                break;
            }
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_between_words() {
        assert_eq!(wrap("mail server 127.0.0.1:2525: refused", 16), ["mail server", "127.0.0.1:2525:", "refused"]);
        assert_eq!(wrap("", 10), [""; 0]);
        assert_eq!(wrap("all of it", 80), ["all of it"]);
        assert_eq!(wrap("two  blanks", 6), ["two", "blanks"]);
    }

    #[test]
    fn only_a_word_longer_than_a_line_is_broken() {
        assert_eq!(wrap("a 123456789 b", 4), ["a", "1234", "5678", "9 b"]);
        assert_eq!(wrap("ab", 0), ["a", "b"]);
    }

    #[test]
    fn wide_characters_take_two_columns_and_stay_whole() {
        assert_eq!((width("注文"), width("é"), width("e\u{301}"), width("👩\u{200d}🔬")), (4, 1, 1, 2));
        assert_eq!(wrap("注文注文", 5), ["注文", "注文"]);
        assert_eq!(wrap("👩\u{200d}🔬👩\u{200d}🔬", 3), ["👩\u{200d}🔬", "👩\u{200d}🔬"]);
        assert_eq!(wrap("e\u{301}e\u{301}", 1), ["e\u{301}", "e\u{301}"]);
    }
}

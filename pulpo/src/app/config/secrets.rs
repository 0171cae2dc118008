//! Texts that may hold a secret, as they are shown.

/// Masks the parts of an address that may be secret: its user, which may be a token; the password, which may contain
/// slashes and an `@`; and everything after a question mark or a hash. When in doubt it masks too much. A text without
/// `://` is shown as it is.
pub(super) fn masked(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (mask, rest) = rest.rsplit_once('@').map_or(("", rest), |(_, rest)| ("***@", rest));
    let (rest, query) = match rest.find(['?', '#']) {
        Some(at) => (&rest[..at], format!("{}***", &rest[at..=at])),
        None => (rest, String::new()),
    };
    format!("{scheme}://{mask}{rest}{query}")
}

/// Masks a text that is not a valid value and may be an address in another form: nothing before an `@` is shown.
pub(super) fn hidden(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((_, rest)) if !text.contains("://") => format!("***@{rest}"),
        _ => masked(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_a_secret_is_shown() {
        for (text, shown) in [
            ("redis://me:secret@host/1", "redis://***@host/1"),
            ("redis://me:se/cr@e:t@host:1/1", "redis://***@host:1/1"),
            ("https://secret@host", "https://***@host"),
            ("https://secret:x-oauth-basic@host", "https://***@host"),
            ("postgres://host/db?user=me&password=secret", "postgres://host/db?***"),
            ("postgres://host/db#secret", "postgres://host/db#***"),
            ("postgres://me:s?e#cret@host/db?sslkey=secret", "postgres://***@host/db?***"),
            ("amqp://:secret@", "amqp://***@"),
            ("beanstalkd://host:11300/pulpo", "beanstalkd://host:11300/pulpo"),
        ] {
            assert_eq!((masked(text), hidden(text)), (shown.to_owned(), shown.to_owned()));
        }
        assert_eq!(masked("file:/home/me@work/queue"), "file:/home/me@work/queue");
        assert_eq!(hidden("me:secret@host"), "***@host");
        assert_eq!(hidden("redis:me:secret@host"), "***@host");
    }
}

//! Addresses: where the dashboard is, percent-encoding and query strings.

/// Returns `?a=b&c=d`, or nothing.
pub(super) fn query<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let pairs = pairs.into_iter().map(|(name, value)| format!("{name}={}", encoded(value)));
    let pairs: Vec<_> = pairs.collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

/// Percent-encodes a text.
pub(super) fn encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut address, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            address.push(char::from(byte));
        } else {
            address.push_str(&format!("%{byte:02X}"));
        }
        address
    })
}

/// Returns the path without the slash at its end, if it has one and leads to this host in any case: `//host` does not,
/// and neither does `/\host` to a browser.
pub(super) fn without_slash(path: &str) -> Option<&str> {
    let page = path.strip_suffix('/')?;
    (!page.is_empty() && !path.contains("//") && !path.contains('\\')).then_some(page)
}

/// The paths of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paths<'a> {
    /// The part that a proxy has removed.
    pub(super) removed: &'a str,
    /// The path that has arrived.
    pub(super) whole: &'a str,
    /// The part of it that the router of the dashboard sees.
    pub(super) inner: &'a str,
    /// The path under which that router is nested, as the program writes it.
    pub(super) nested: Option<&'a str>,
}

impl Paths<'_> {
    /// Returns the path of the dashboard, and whether the overview has a slash at its end. A router that is nested at
    /// `/jobs` answers there and not at `/jobs/`; one at `/jobs/`, the other way round.
    pub(super) fn home(self) -> (String, bool) {
        let Self { removed, whole, inner, nested } = self;
        let arrived = whole.strip_suffix(inner).unwrap_or(if inner == "/" { whole } else { "" }).trim_end_matches('/');
        let slash = arrived.is_empty() || nested.is_some_and(|nested| nested.ends_with('/'));
        // To a browser, `/\host` is another host.
        (format!("{removed}{}", arrived.replace('\\', "%5C")), slash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_the_path_that_a_browser_sees() {
        let home = |removed, whole, inner, nested| Paths { removed, whole, inner, nested }.home();
        for (whole, inner) in [("/", "/"), ("/jobs/1", "/jobs/1"), ("/a/b", "/a/b")] {
            assert_eq!(home("", whole, inner, None), (String::new(), true), "{whole}");
            assert_eq!(home("/ops", whole, inner, None), ("/ops".to_owned(), true), "{whole}");
        }
        for (whole, inner, nested, slash) in [
            ("/admin/jobs", "/", "/admin/jobs", false),
            ("/admin/jobs/jobs/1", "/jobs/1", "/admin/jobs", false),
            ("/admin/jobs/", "/", "/admin/jobs/", true),
            ("/admin/jobs/queues", "/queues", "/admin/jobs/", true),
            // By `nest_service`, which answers at both.
            ("/admin/jobs/", "/", "/admin/jobs", false),
            ("/admin/jobs", "/", "/{any}/jobs", false),
        ] {
            assert_eq!(home("", whole, inner, Some(nested)), ("/admin/jobs".to_owned(), slash), "{whole}");
            assert_eq!(home("/x", whole, inner, Some(nested)), ("/x/admin/jobs".to_owned(), slash), "{whole}");
        }
        // A browser takes a backslash for a slash.
        let whole = "/\\evil.example/jobs/queues";
        assert_eq!(home("", whole, "/queues", Some("/{of}/jobs")).0, "/%5Cevil.example/jobs");
    }

    #[test]
    fn a_path_without_its_slash_leads_to_no_other_host() {
        for (path, expected) in [
            ("/jobs/", Some("/jobs")),
            ("/a%2F/b/", Some("/a%2F/b")),
            ("/%5Cevil.example/", Some("/%5Cevil.example")),
            ("/jobs", None),
            ("/", None),
            ("//evil.example/", None),
            ("/jobs//", None),
            ("/\\evil.example/", None),
            ("/a\\b/", None),
        ] {
            assert_eq!(without_slash(path), expected, "{path}");
        }
    }
}

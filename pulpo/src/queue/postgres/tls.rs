//! The encryption of connections: `sslmode` and `sslrootcert` of a URL, with the
//! meaning that they have in other PostgreSQL programs.
//!
//! The client's own parser knows only half of the modes, so both parameters are
//! removed from the URL before it reads the rest.

use std::path::PathBuf;
use std::str::FromStr;

use tokio_postgres::config::SslMode;

/// The encryption of the connections of one URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tls {
    mode: Mode,
    /// The file of the trusted authorities; `None`: those that the system trusts.
    root: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Mode {
    Disable,
    /// Encrypted if the server can. No protection against an attacker who can
    /// change the traffic.
    #[default]
    Prefer,
    /// Encrypted, or no connection.
    Require,
    /// Encrypted, with a certificate of a trusted authority.
    VerifyCa,
    /// As `VerifyCa`, and the certificate must be for the host of the URL.
    VerifyFull,
}

impl Mode {
    const ALL: [(&'static str, Self); 5] = [
        ("disable", Self::Disable),
        ("prefer", Self::Prefer),
        ("require", Self::Require),
        ("verify-ca", Self::VerifyCa),
        ("verify-full", Self::VerifyFull),
    ];

    fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, mode)| *mode == self).map_or("", |(name, _)| name)
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text).map(|(_, mode)| *mode);
        found.ok_or_else(|| format!("expected disable, prefer, require, verify-ca or verify-full, got {text:?}"))
    }
}

impl Tls {
    /// Reads both parameters of a URL, and returns the URL without them. The error
    /// repeats nothing that may be a part of a password.
    pub(crate) fn of_url(url: &str) -> Result<(Self, String), String> {
        check_user(url)?;
        let mut tls = Self::default();
        let (base, parameters) = url.split_once('?').unwrap_or((url, ""));
        let mut rest = Vec::new();
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match key {
                "sslmode" => tls.mode = value.parse().map_err(|problem| format!("`sslmode`: {problem}"))?,
                "sslrootcert" if value.is_empty() => return Err("`sslrootcert`: expected a file".to_owned()),
                "sslrootcert" => tls.root = (value != "system").then(|| PathBuf::from(decoded(value))),
                _ => rest.push(parameter),
            }
        }
        // As in libpq: naming an authority means that it is checked.
        if tls.root.is_some() && tls.mode == Mode::Require {
            tls.mode = Mode::VerifyCa;
        }
        let url = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
        Ok((tls, url))
    }

    /// Returns the setting for the client.
    pub(crate) fn ssl_mode(&self) -> SslMode {
        match self.mode {
            Mode::Disable => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
        }
    }

    /// Returns the parameters of a URL that are not the default, each after a `&`.
    pub(super) fn parameters(&self) -> String {
        let mut parameters = String::new();
        if self.mode != Mode::default() {
            parameters.push_str(&format!("&sslmode={}", self.mode.as_str()));
        }
        if let Some(root) = &self.root {
            parameters.push_str(&format!("&sslrootcert={}", root.display()));
        }
        parameters
    }
}

/// Refuses a URL with a user or a password that ends elsewhere than was meant: a
/// part of it would be taken for the host, and shown.
fn check_user(url: &str) -> Result<(), String> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (authority, after) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (path, query) = after.split_once('?').unwrap_or((after, ""));
    // A parameter may have an @ in its value, if it cannot be the end of a password.
    let is_parameter = |parameter: &str| {
        parameter.split_once('=').is_some_and(|(key, value)| {
            !key.contains('@') && value.split_once('@').is_none_or(|(_, after)| !after.contains('/'))
        })
    };
    let has_user = authority.contains('@');
    let may_follow = path.starts_with('/') && (has_user || names_hosts_only(authority));
    let is_clear = authority.matches('@').count() <= 1
        && !path.contains('@')
        && query.split('&').filter(|parameter| parameter.contains('@')).all(|one| may_follow && is_parameter(one));
    if is_clear {
        return Ok(());
    }
    Err("in a user, a password or a parameter, write @ as %40, : as %3A, / as %2F, ? as %3F, # as %23 and % as %25"
        .to_owned())
}

/// Returns whether only ports follow the colons, so that none of it is a password.
fn names_hosts_only(authority: &str) -> bool {
    authority.split(',').all(|host| {
        let after = if host.starts_with('[') { host.split_once(']').map_or(host, |(_, after)| after) } else { host };
        let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
        after.split_once(':').is_none_or(|(_, port)| is_port(port))
    })
}

/// Decodes a text of a URL, such as `%20`.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.bytes().next() {
        let hex = rest.get(1..3).filter(|_| first == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(hex.unwrap_or(first));
        // Bytes of a longer character are never a percent sign.
        let taken = if hex.is_some() { 3 } else { 1 };
        match rest.get(taken..) {
            Some(after) => rest = after,
            None => {
                let length = rest.chars().next().map_or(1, char::len_utf8);
                bytes.extend(rest.bytes().take(length).skip(1));
                rest = rest.get(length..).unwrap_or_default();
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns what to do about an error of a handshake.
pub(super) fn hint(text: &str) -> Option<&'static str> {
    if text.contains("does not support TLS") {
        return Some("set `ssl = on` on the server, or `sslmode=prefer` in the URL");
    }
    if text.contains("UnknownIssuer") || text.contains("CaUsedAsEndEntity") {
        return Some("name the file with the certificate of its authority in the URL: `sslrootcert=FILE`");
    }
    if text.contains("NotValidForName") || text.contains("not valid for name") {
        return Some("`sslmode=verify-full` requires the host of the URL in the certificate; `verify-ca` does not");
    }
    text.contains("TLS").then_some("look at `sslmode` in the URL: disable, prefer, require, verify-ca or verify-full")
}

#[cfg(not(feature = "postgres-tls"))]
mod connector {
    use tokio_postgres::NoTls;

    use super::{Mode, Tls};

    impl Tls {
        /// Without the feature, no connection is encrypted, and a URL that demands
        /// encryption is refused.
        pub(crate) fn connector(&self) -> Result<NoTls, String> {
            if self.mode <= Mode::Prefer {
                return Ok(NoTls);
            }
            Err(format!(
                "`sslmode={}` wants an encrypted connection, which this program was built without: build it with the \
                 feature `postgres-tls` of pulpo",
                self.mode.as_str()
            ))
        }
    }
}

#[cfg(feature = "postgres-tls")]
mod connector;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_how_its_connections_are_encrypted() {
        for (url, mode, root) in [
            ("postgres://db/shop", Mode::Prefer, None),
            ("postgres://db/shop?sslmode=disable", Mode::Disable, None),
            ("postgres://db/shop?sslmode=require", Mode::Require, None),
            ("postgres://db/shop?sslmode=require&sslrootcert=system", Mode::Require, None),
            // Naming an authority means that it is checked.
            ("postgres://db/shop?sslrootcert=ca.pem&sslmode=require", Mode::VerifyCa, Some("ca.pem")),
            (
                "postgres://db/shop?sslmode=verify-full&sslrootcert=/a%20b/%c3%bc/ü.pem",
                Mode::VerifyFull,
                Some("/a b/ü/ü.pem"),
            ),
        ] {
            let (tls, rest) = Tls::of_url(url).expect(url);
            assert_eq!((tls.mode, tls.root), (mode, root.map(PathBuf::from)), "{url}");
            assert_eq!(rest, "postgres://db/shop");
        }
        let (_, rest) = Tls::of_url("postgres://db/shop?a=1&sslmode=disable&b=2").expect("a URL");
        assert_eq!(rest, "postgres://db/shop?a=1&b=2");
    }

    #[test]
    fn a_parameter_may_have_an_at_sign_where_it_cannot_be_the_end_of_a_password() {
        for url in [
            "postgres://localhost:5432/shop?application_name=a@b",
            "postgres://localhost/shop?application_name=a@b",
            "postgres://[::1]:5432/shop?application_name=a@b&sslmode=disable",
            "postgres://one:5432,two:5433/shop?application_name=a@b",
            "postgres://shop:secret@localhost:5432/shop?application_name=a@b",
        ] {
            assert!(Tls::of_url(url).is_ok(), "{url}");
        }
        for url in [
            "postgres://shop:se/cret?x=y@localhost",
            "postgres://shop:1234567/cret?x=y@localhost",
            "postgres://shop:12a/cret?x=y@localhost",
            "postgres://shop:1234/cret?x=y@localhost/shop",
            "postgres://shop:1234?x=y@localhost",
            "postgres://shop:12@34@localhost/shop",
        ] {
            let error = Tls::of_url(url).expect_err(url);
            assert!(error.contains("a parameter, write @ as %40") && !error.contains("12"), "{error}");
        }
    }

    #[test]
    fn a_faulty_parameter_is_refused() {
        for wrong in ["sslmode=", "sslmode=verify", "sslmode=allow", "sslmode=Require"] {
            let error = Tls::of_url(&format!("postgres://db/shop?{wrong}")).expect_err(wrong);
            assert!(error.contains("expected disable, prefer, require, verify-ca or verify-full"), "{error}");
        }
        assert!(Tls::of_url("postgres://db/shop?sslrootcert=").is_err());
    }

    #[cfg(not(feature = "postgres-tls"))]
    #[test]
    fn a_program_without_encryption_refuses_a_url_that_demands_it() {
        for mode in ["require", "verify-ca", "verify-full"] {
            let (tls, _) = Tls::of_url(&format!("postgres://db/shop?sslmode={mode}")).expect("a URL");
            let error = tls.connector().expect_err(mode);
            assert!(error.contains(&format!("`sslmode={mode}`")) && error.contains("`postgres-tls`"), "{error}");
        }
        for mode in ["disable", "prefer"] {
            let (tls, _) = Tls::of_url(&format!("postgres://db/shop?sslmode={mode}")).expect("a URL");
            assert!(tls.connector().is_ok(), "{mode}");
        }
    }
}

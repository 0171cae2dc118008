//! The output meets lints that the user denies or forbids, and modules and
//! aliases with the names that it needs.
#![forbid(unsafe_code, missing_docs)]
#![deny(
    warnings,
    clippy::all,
    clippy::pedantic,
    let_underscore_drop,
    missing_debug_implementations,
    rust_2018_idioms,
    single_use_lifetimes,
    unreachable_pub,
    unused_lifetimes,
    unused_qualifications
)]

use serde::{Deserialize, Serialize};

/// Not the crate.
pub mod core {}
/// Not the crate.
pub mod std {}
mod pulpo {}

/// Not the one of the prelude.
pub type Result<T> = ::core::result::Result<T, ::std::io::Error>;

/// An email.
#[derive(Debug, Serialize, Deserialize)]
pub struct SendEmail {
    /// Who gets it.
    pub to: String,
    /// What it is about.
    pub subject: String,
}

/// Sends it.
///
/// # Errors
/// Without a recipient.
#[::pulpo::handler(
    "send_email",
    queue = "mail",
    priority = 10,
    max_attempts = 5,
    backoff = "1s..1h",
    ttr = "60s",
    timeout = "30s",
    alias = "sendmail",
    alias = "mail"
)]
pub fn send_email(SendEmail { to, subject }: SendEmail) -> ::pulpo::Outcome {
    if to.is_empty() {
        return Err(::pulpo::fatal(subject));
    }
    Ok(())
}

mod private {
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    struct Ping;

    #[::pulpo::handler("ping")]
    fn ping(_: Ping, _: ::pulpo::State<u8>, _: &::pulpo::Context) {}

    #[derive(Serialize, Deserialize)]
    struct Count {
        by: u32,
    }

    #[::pulpo::handler("count")]
    fn r#type(mut count: Count) -> super::Result<()> {
        count.by += 1;
        if count.by > 9 {
            return Err(::std::io::Error::other("too many"));
        }
        Ok(())
    }

    #[derive(Serialize, Deserialize)]
    struct Never;

    #[::pulpo::handler("never")]
    fn never(_: Never) -> ! {
        panic!()
    }

    #[derive(Serialize, Deserialize)]
    struct Unnamed;

    #[::pulpo::handler("unnamed")]
    fn unnamed(_: Unnamed) -> impl ::pulpo::IntoOutcome {}

    #[derive(Serialize, Deserialize)]
    struct Of<T>(T);

    #[::pulpo::handler("of_strings")]
    fn of_strings(_: Of<Vec<String>>) {}

    #[::pulpo::handler("of_numbers")]
    fn of_numbers(_: Of<u32>) {}

    #[derive(Serialize, Deserialize)]
    #[deprecated]
    struct Old;

    #[::pulpo::handler("old")]
    #[expect(deprecated)]
    fn old(_: Old) {}

    #[derive(Serialize, Deserialize)]
    struct Young;

    #[::pulpo::handler("young")]
    #[deprecated]
    fn young(_: Young) {}

    #[derive(Serialize, Deserialize)]
    pub(super) struct Outer;
}

fn main() {
    #[derive(Serialize, Deserialize)]
    struct Inner;

    #[::pulpo::handler("inner")]
    fn inner(_: Inner) {}

    #[::pulpo::handler("outer")]
    fn outer(_: private::Outer) {}

    let registry = ::pulpo::Registry::collect().expect("sound handlers");
    assert_eq!(registry.iter().count(), 11);
    let handler = registry.get("sendmail").expect("an alias");
    assert_eq!(handler.request_type(), "send_email");
    assert!(handler.function().ends_with("::send_email"));
    assert!(
        registry
            .get("count")
            .expect("count")
            .function()
            .ends_with("::private::type")
    );
    // The line of the function, not of its attribute.
    assert_eq!(handler.line(), 52);
}

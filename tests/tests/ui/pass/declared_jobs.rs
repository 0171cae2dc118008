//! Jobs that are declared on their types, apart from their handlers.
#![forbid(unsafe_code)]
#![deny(warnings, missing_docs, clippy::pedantic, rust_2018_idioms)]

mod shared {
    //! As a crate would be that a producer and a worker share.

    use serde::{Deserialize, Serialize};

    use pulpo as renamed;

    /// A mail.
    #[derive(Serialize, Deserialize, pulpo::Job)]
    #[job("send_email", queue = "mail", max_attempts = 5, alias = "sendmail")]
    pub struct SendEmail {
        /// To whom.
        pub to: String,
    }

    /// An order.
    #[derive(Serialize, Deserialize, renamed::Job)]
    #[job("order", crate = self::renamed)]
    pub enum Order {
        /// Of one.
        One,
        /// Of several.
        Several(u8),
    }

    /// Nobody's.
    #[deprecated]
    #[derive(Serialize, Deserialize, pulpo::Job)]
    #[job("orphan")]
    pub struct Orphan;
}

#[pulpo::handler]
fn send_email(email: shared::SendEmail, _: &pulpo::Context) {
    drop(email.to);
}

#[pulpo::handler(crate = ::pulpo)]
fn order(_: shared::Order) -> pulpo::Outcome {
    Ok(())
}

fn main() {
    let registry = pulpo::Registry::collect().expect("sound handlers");
    let handler = registry.get("sendmail").expect("an alias");
    assert_eq!((handler.request_type(), handler.policy().queue), ("send_email", Some("mail")));
    assert!(registry.get("order").is_some());
    let orphans: Vec<_> = registry.unhandled().collect();
    assert_eq!((orphans.len(), orphans[0].request_type()), (1, "orphan"));
    assert!(orphans[0].body_type().ends_with("shared::Orphan"));
    assert_eq!(orphans[0].line(), 34);
}

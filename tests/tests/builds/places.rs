//! Where handlers, lists of jobs and `main!` may stand: in any module of any crate, of each edition, under
//! the strictest lints and beside names that are like ours.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::workspace::{Workspace, pulpo};

/// The crate under its own name, without the prelude.
const MAIL: &str = r#"//! Mails.
#![no_implicit_prelude]
#![forbid(unsafe_code)]
#![deny(warnings, missing_docs, clippy::pedantic, clippy::nursery, clippy::single_call_fn)]

mod private {
    mod deeper {
        #[derive(::serde::Serialize, ::serde::Deserialize)]
        struct Letter;

        #[::pulpo::handler("letter", alias = "brief", batch = 10, linger = "1s")]
        fn letter(_: ::std::vec::Vec<Letter>) {}
    }

    #[derive(::core::clone::Clone, ::core::marker::Copy, ::serde::Serialize, ::serde::Deserialize)]
    struct List {
        all: [[u64; 16]; 3],
    }

    #[::pulpo::handler("list")]
    fn list(list: List) -> ::pulpo::Outcome {
        ::std::fs::write("/dev/null", ::std::format!("{:?}", list.all))?;
        ::std::result::Result::Ok(())
    }

    #[derive(::serde::Serialize, ::serde::Deserialize)]
    struct Parcel;

    #[::pulpo::handler("parcel", timeout = "5s")]
    fn parcel(_: Parcel, context: &::pulpo::Context) -> ::pulpo::Outcome {
        if context.attempt() > 1 {
            return ::std::result::Result::Err(::pulpo::fatal("once is enough"));
        }
        ::std::result::Result::Ok(())
    }
}

/// The jobs that other crates publish.
#[::pulpo::jobs]
pub mod jobs {
    pub use super::declared::Postcard;

    /// A telegram.
    #[derive(::serde::Serialize, ::serde::Deserialize, ::pulpo::Job)]
    #[job("telegram", queue = "mail", unique(text))]
    pub struct Telegram {
        /// Its text.
        pub text: ::std::string::String,
    }

    /// A feature that no program has.
    #[cfg(any())]
    #[derive(::serde::Serialize, ::serde::Deserialize, ::pulpo::Job)]
    #[job("pigeon")]
    pub struct Pigeon;
}

mod declared {
    /// A postcard.
    #[derive(::serde::Serialize, ::serde::Deserialize, ::pulpo::Job)]
    #[job("postcard")]
    pub struct Postcard;

    #[::pulpo::handler]
    fn postcard(_: Postcard) {}

    #[::pulpo::handler]
    fn telegram(telegram: super::jobs::Telegram) -> ::pulpo::Outcome {
        ::std::fs::write("/dev/null", &telegram.text)?;
        ::std::result::Result::Ok(())
    }
}

/// Has a module of its own.
pub const fn outer() {
    mod inner {
        #[derive(::serde::Serialize, ::serde::Deserialize)]
        struct Hidden;

        #[::pulpo::handler("hidden")]
        fn hidden(_: Hidden) {}
    }
}
"#;

/// The crate under another name, beside modules and an alias with names of ours.
const BILLING: &str = r#"//! Bills.
#![forbid(unsafe_code)]
#![deny(warnings, missing_docs, clippy::pedantic, clippy::nursery, clippy::single_call_fn)]

/// Not the crate.
pub mod pulpo {}
/// Not the crate.
pub mod core {}
/// Not the crate.
pub mod std {}
/// Not the crate.
pub mod serde_json {}

/// Not that of the prelude.
pub type Result<T> = ::core::result::Result<T, ::std::io::Error>;

/// A bill.
#[derive(serde::Serialize, serde::Deserialize, work::Job)]
#[job("bill", queue = "money", crate = ::work)]
pub struct Bill {
    /// How much.
    pub cents: u64,
}

/// Sends one.
///
/// # Errors
/// For none.
#[work::handler(crate = ::work)]
#[expect(clippy::needless_pass_by_value, reason = "a handler takes what it takes by value")]
pub fn bill(bill: Bill, bank: work::State<String>) -> Result<()> {
    if bill.cents == 0 {
        return Err(::std::io::Error::other(bank.as_str()));
    }
    Ok(())
}

/// The jobs that other crates publish.
#[work::jobs(crate = ::work)]
pub mod jobs {
    pub use super::Bill;

    /// A refund.
    #[derive(serde::Serialize, serde::Deserialize, work::Job)]
    #[job("refund", crate = work)]
    pub struct Refund;
}

/// Pays it back.
#[work::handler]
pub fn refund(_: jobs::Refund) {}

/// A reminder.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct Remind;

/// Reminds.
#[work::handler("remind", crate = work)]
pub fn remind(_: Remind) {}
"#;

/// A program that forbids what the others deny.
const WORKER: &str = r#"//! Works.
#![forbid(
    unsafe_code,
    missing_docs,
    unused_imports,
    dead_code,
    clippy::pedantic,
    clippy::nursery,
    clippy::needless_pass_by_value,
    clippy::single_call_fn,
    clippy::wildcard_imports
)]
#![deny(warnings)]

mod jobs {
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    struct Here;

    #[pulpo::handler("here")]
    fn here(_: Here) {}

    #[derive(Serialize, Deserialize)]
    struct Read {
        name: String,
    }

    #[pulpo::handler("read")]
    fn read(read: Read, bank: pulpo::State<String>) -> Result<(), std::io::Error> {
        std::fs::write(bank.as_str(), &read.name)
    }

    #[derive(Clone, Copy, Serialize, Deserialize)]
    struct Large {
        all: [[u64; 16]; 3],
    }

    #[pulpo::handler("large")]
    fn large(large: Large) -> Result<(), std::io::Error> {
        large.all.iter().flatten().try_for_each(|number| std::fs::write("/dev/null", number.to_string()))
    }

    #[cfg(feature = "none")]
    #[derive(Serialize, Deserialize)]
    struct Gone;

    #[cfg(feature = "none")]
    #[pulpo::handler("gone")]
    fn gone(_: Gone) {}

    #[cfg(not(feature = "none"))]
    #[derive(Serialize, Deserialize)]
    struct Kept;

    #[pulpo::handler("kept")]
    #[cfg(not(feature = "none"))]
    fn kept(_: Kept) {}
}

pulpo::main! {
    crates: [mail_jobs, billing_jobs],
    setup: |app| app.state(String::from("the bank")),
    jobs: [mail_jobs::jobs, billing_jobs::jobs],
}
"#;

/// The editions of the libraries, and that of the worker.
const EDITIONS: [(&str, &str); 3] = [("2018", "2024"), ("2021", "2018"), ("2024", "2021")];

fn workspace(libraries: &str, worker: &str) -> Workspace {
    let workspace = Workspace::new();
    workspace.package("mail_jobs", libraries, "", MAIL);
    workspace.package("billing_jobs", libraries, &pulpo("work", ""), BILLING);
    let all = "mail_jobs = { path = \"../mail_jobs\" }\nbilling_jobs = { path = \"../billing_jobs\" }\n\
               [features]\nnone = []\n";
    workspace.package("worker", worker, &(pulpo("pulpo", "\"cli\"") + all), WORKER);
    workspace
}

#[test]
fn all_are_in_the_program() {
    for (libraries, worker) in EDITIONS {
        let workspace = workspace(libraries, worker);
        let (good, said) = workspace.cargo(&["run", "--bin", "worker", "--", "handlers", "--json"]);
        assert!(good, "libraries of {libraries}, a worker of {worker}: {said}");
        let all: Vec<Value> = serde_json::from_str(&said).expect("JSON");
        let functions: BTreeMap<_, _> = all
            .iter()
            .map(|handler| (handler["request_type"].as_str().expect("a name"), &handler["function"]))
            .collect();
        let expected = [
            ("bill", "billing_jobs::bill"),
            ("here", "worker::jobs::here"),
            ("hidden", "mail_jobs::inner::hidden"),
            ("kept", "worker::jobs::kept"),
            ("large", "worker::jobs::large"),
            ("letter", "mail_jobs::private::deeper::letter"),
            ("list", "mail_jobs::private::list"),
            ("parcel", "mail_jobs::private::parcel"),
            ("postcard", "mail_jobs::declared::postcard"),
            ("read", "worker::jobs::read"),
            ("refund", "billing_jobs::refund"),
            ("remind", "billing_jobs::remind"),
            ("telegram", "mail_jobs::declared::telegram"),
        ];
        let expected: BTreeMap<_, _> = expected.map(|(name, function)| (name, Value::from(function))).into();
        assert_eq!(functions, expected.iter().map(|(name, function)| (*name, function)).collect());
        let (good, said) = workspace.cargo(&["run", "--bin", "worker", "--", "check"]);
        assert!(good && said.ends_with("13 handlers, nothing is wrong\n"), "{said}");
    }
}

#[test]
fn clippy_has_nothing_to_say() {
    for (libraries, worker) in EDITIONS {
        let (good, said) = workspace(libraries, worker).cargo(&["clippy"]);
        assert!(good && said.is_empty(), "libraries of {libraries}, a worker of {worker}: {said}");
    }
}

//! A list whose jobs have names like those that the list uses itself, or lie in modules, or come by `self`.

#[pulpo::jobs]
pub mod jobs {
    use serde::{Deserialize, Serialize};

    pub use super::mail::Letter::{self};
    pub use super::mail::{Parcel as Handler2};

    #[derive(Serialize, Deserialize, pulpo::Job)]
    #[job("handler_0")]
    pub struct Handler0;

    #[derive(Serialize, Deserialize, pulpo::Job)]
    #[job("handler_1")]
    pub struct Handler1;

    #[cfg(all())]
    #[derive(Serialize, Deserialize, pulpo::Job)]
    #[job("t")]
    pub struct T;

    pub mod r#in {
        #[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
        #[job("raw")]
        pub enum r#Raw {
            One,
        }
    }
}

mod mail {
    #[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
    #[job("letter")]
    pub struct Letter;

    #[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
    #[job("parcel")]
    pub struct Parcel;
}

macro_rules! handlers {
    ($($name:ident $body:ty)*) => {
        $(#[pulpo::handler]
        fn $name(_: $body) {})*
    };
}

handlers! {
    zero jobs::Handler0 one jobs::Handler1 two jobs::Handler2 t jobs::T raw jobs::r#in::Raw letter jobs::Letter
}

mod program {
    pulpo::main! { jobs: [super::jobs] }
    pub(crate) const MAIN: fn() -> std::process::ExitCode = main;
}

fn main() {
    let _main = program::MAIN;
    assert_eq!(pulpo::Registry::collect().map_or(0, |all| all.iter().count()), 6);
}

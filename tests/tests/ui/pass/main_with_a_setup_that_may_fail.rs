//! A closure that ends with `Ok(())` may fail with any error, and needs no type for it.
#![deny(warnings, clippy::pedantic)]

mod with_a_question_mark {
    pulpo::main! {
        setup: |app| {
            app.state("5".parse::<u8>()?);
            app.state(std::fs::read_to_string("name")?);
            Ok(())
        }
    }
    pub(crate) const MAIN: fn() -> std::process::ExitCode = main;
}

mod without {
    pulpo::main! {
        setup: |app| {
            app.state(7_u8);
            Ok(())
        }
    }
    pub(crate) const MAIN: fn() -> std::process::ExitCode = main;
}

mod with_a_type_of_its_own {
    pulpo::main! {
        setup: |app| {
            if std::env::args().count() > 9 {
                return Err(std::fmt::Error);
            }
            app.state(7_u8);
            Ok(())
        }
    }
    pub(crate) const MAIN: fn() -> std::process::ExitCode = main;
}

mod by_a_macro {
    macro_rules! program {
        ($setup:expr) => {
            pulpo::main! { setup: $setup }
        };
    }

    program!(|app| {
        app.state("5".parse::<u8>()?);
        Ok(())
    });
    pub(crate) const MAIN: fn() -> std::process::ExitCode = main;
}

fn main() {
    let _ = [with_a_question_mark::MAIN, without::MAIN, with_a_type_of_its_own::MAIN, by_a_macro::MAIN];
}

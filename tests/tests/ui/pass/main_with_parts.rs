//! Both parts of `main!`, each optional, in any order.
#![forbid(unsafe_code)]
#![deny(warnings, clippy::pedantic)]

mod both {
    pulpo::main! { crates: [serde, serde_json], setup: |app| app.state(5_u8) }
    pub(crate) const MAIN: fn() -> std::process::ExitCode = main;
}

mod other_way_round {
    pulpo::main! {
        setup: |app| {
            app.state("name".parse::<String>()?);
            Ok::<(), std::convert::Infallible>(())
        },
        crates: [serde],
    }
    pub(crate) const MAIN: fn() -> std::process::ExitCode = main;
}

mod a_function {
    fn set_up(app: &mut pulpo::App) -> Result<(), pulpo::Failure> {
        app.state(7_u8);
        Ok(())
    }

    pulpo::main!(setup: set_up);
    pub(crate) const MAIN: fn() -> std::process::ExitCode = main;
}

mod none {
    pulpo::main!();
    pub(crate) const MAIN: fn() -> std::process::ExitCode = main;
}

fn main() {
    let _ = [both::MAIN, other_way_round::MAIN, a_function::MAIN, none::MAIN];
}

//! The worker that `pulpo::main!()` generates from the handlers.

use std::process::ExitCode;

pub(crate) fn main() -> ExitCode {
    crate::life::watch();
    worker::run()
}

mod worker {
    pulpo::main!();

    pub(super) fn run() -> std::process::ExitCode {
        main()
    }
}

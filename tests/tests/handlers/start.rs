//! Faults that keep a worker from starting.

use pulpo::{ProblemKind, WorkError};

use crate::board::Board;
use crate::stage::on;

#[test]
fn a_missing_state_is_named_with_the_handlers_that_need_it() {
    on("memory", 1, &|stage| {
        let error = stage.pulpo.work().expect_err("refused");
        let text = error.to_string();
        assert!(text.starts_with("missing state `handlers::board::Board`, which is needed by handlers::"), "{text}");
        for handler in
            ["follow_ups::first (", "follow_ups::next (", "parameters::tell (tests/tests/handlers/parameters.rs:"]
        {
            assert!(text.contains(handler), "{handler} in {text}");
        }
        assert!(text.contains("provide it with `app.state(…)` in the `setup` of `pulpo::main!`"), "{text}");
        let WorkError::Problems(problems) = error else { panic!("of problems") };
        let [problem] = &*problems else { panic!("one problem") };
        assert_eq!(problem.kind, ProblemKind::MissingState);
    });
}

#[test]
fn a_state_given_twice_is_refused_with_both_places() {
    on("memory", 1, &|stage| {
        let error = stage.worker().state(Board::default()).run().expect_err("refused");
        let text = error.to_string();
        assert!(text.starts_with("the state `handlers::board::Board` is provided at "), "{text}");
        assert!(text.contains("stage.rs:") && text.contains("start.rs:"), "{text}");
    });
}

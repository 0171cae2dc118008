//! Linked adapters with conflicting schemes.

use pulpo_tests::program::Sandbox;

const PROGRAM: &str = env!("CARGO_BIN_EXE_clashing_adapters");

#[test]
fn two_adapters_with_one_scheme_are_refused_at_the_start_of_every_command() {
    let place = Sandbox::new();
    for arguments in [
        &["work"] as &[&str],
        &["publish", "echo", "--body", "null"],
        &["list"],
        &["stats", "--json"],
        &["config"],
        // Also if no setting names the scheme.
        &["stats", "--set", "queue=file:./queue"],
    ] {
        let output = place.run(PROGRAM, arguments);
        assert_eq!((output.code, output.out.as_str()), (1, ""), "{arguments:?}: {}", output.err);
        let expected = "two queue adapters register the scheme `echo:`, `first_queue_adapter` (";
        assert!(output.err.contains(expected) && output.err.contains("link only one of them"), "{}", output.err);
    }
    let checked = place.run(PROGRAM, &["check"]);
    assert_eq!(checked.code, 1, "{}", checked.err);
    assert!(checked.out.contains("two queue adapters register the scheme `echo:`"), "{}", checked.out);
    assert!(!place.path("pulpo-data").exists(), "nothing is made");
}

//! Figures that must not grow with the number of jobs. `endurance --jobs 2000000` is the long form.

use pulpo_tests::program::Sandbox;

#[test]
fn memory_database_handles_and_threads_stay_flat() {
    let place = Sandbox::new();
    let said = place.run(env!("CARGO_BIN_EXE_endurance"), &["--jobs", "20000"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert_eq!(said.out.lines().count(), 1 + 8, "{}", said.out);
}

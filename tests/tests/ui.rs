//! What must not compile, and what must: each mistake one error, on its place.
//!
//! The names of the files in `ui/fail` are the mistakes. After a change of a
//! message, `TRYBUILD=overwrite cargo test -p pulpo-tests --test ui` writes the
//! expected ones anew; read them before they are committed.

#[test]
fn each_mistake_has_one_error_on_its_place() {
    trybuild::TestCases::new().compile_fail("tests/ui/fail/*.rs");
}

#[test]
fn what_is_right_compiles() {
    trybuild::TestCases::new().pass("tests/ui/pass/*.rs");
}

//! What must not compile, and what must: each mistake one error, on its place.
//!
//! The names of the files in `ui/fail` are the mistakes. After a change of a
//! message, `TRYBUILD=overwrite cargo test -p pulpo-tests --test ui` writes the
//! expected ones anew; read them before they are committed.

#[test]
fn each_mistake_has_one_error_on_its_place() {
    trybuild::TestCases::new().compile_fail("tests/ui/fail/*.rs");
}

/// The page of all mistakes: each with its error, word for word.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors.md");

const HEAD: &str = "\
# What does not compile, and what it says

Each mistake that the UI tests know, with the errors word for word; `PULPO_BLESS=1 cargo test -p pulpo-tests --test ui`
writes this page anew. The label under the code and the advice below it are in `tests/tests/ui/fail`. Several errors in a
row are of several mistakes, each with its own, but for one: both handlers of one declared job (`job with two handlers`)
are told so, each on its body, and the advice names the two: `multiple impls satisfying Ping: HasOneHandler<_> found`. In
two library crates that do not know each other they compile; then the worker does not start, and `check` fails.

| the mistake | the error |
| --- | --- |
";

#[test]
fn the_page_of_errors_is_true() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ui/fail");
    let mut rows: Vec<_> = std::fs::read_dir(folder)
        .expect("the cases")
        .map(|entry| entry.expect("a case").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "stderr"))
        .map(|path| {
            let mistake = path.file_stem().expect("a name").to_string_lossy().replace('_', " ");
            let said = std::fs::read_to_string(&path).expect("what rustc says");
            let errors: Vec<_> = said
                .lines()
                .filter_map(|line| line.strip_prefix("error").and_then(|rest| rest.split_once(": ")))
                .map(|(_, error)| error.replace('|', "\\|"))
                .filter(|error| !error.starts_with("aborting due to"))
                .collect();
            format!("| {mistake} | {} |\n", errors.join("<br>"))
        })
        .collect();
    rows.sort_unstable();
    let page = format!("{HEAD}{}", rows.concat());
    if std::env::var_os("PULPO_BLESS").is_some() {
        std::fs::write(PAGE, &page).expect("written");
    }
    let written = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(written == page, "docs/errors.md does not say what rustc says: see its head");
}

#[test]
fn what_is_right_compiles() {
    trybuild::TestCases::new().pass("tests/ui/pass/*.rs");
}

//! Code that must not compile, and code that must. Each mistake causes one error, at its place.
//!
//! The files in `ui/fail` are named after the mistakes. Each file ends with a line
//! `//~ token => remedy` for each mistake in it: the token that its only error points at, and words
//! of that error that say what to do. After a change of a message,
//! `TRYBUILD=overwrite cargo test -p pulpo-tests --test ui` updates the expected errors; read them
//! before you commit them.

#[path = "ui/catalogue.rs"]
mod catalogue;
#[path = "ui/compiled.rs"]
mod compiled;

#[test]
fn each_mistake_does_not_compile() {
    compiled::run("each_mistake_does_not_compile", |cases| cases.compile_fail("tests/ui/fail/*.rs"));
}

/// The page of all mistakes, each with its literal error.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors.md");

const HEAD: &str = "\
# Compiler errors

The mistakes that the UI tests cover, with their exact errors. `PULPO_BLESS=1 cargo test -p pulpo-tests --test ui` writes this
page. The labels under the code and the advice below it are in `tests/tests/ui/fail`.
";

const DUPLICATES: &str = "
For two handlers of one request type, or of one job, where one can see the other, rustc reports `type annotations needed`. The
error is on the name, or the body, of the first one; the note below names both and says which of them to rename or remove. For
two in library crates that do not see each other, the linker fails when both are linked into one program, with the name
`two_pulpo_handlers_for_the_request_type__NAME`. Two handlers of a declared job in such crates compile, unless `pulpo::main!`
lists the job; then the worker does not start, and `check` fails. If the program lists the job and has one of the two itself,
the error is on what stands first: the body of its handler, or the list.
";

#[test]
fn the_page_of_errors_is_true() {
    let cases = catalogue::read();
    let mistakes: usize = cases.iter().map(|case| case.mistakes.len()).sum();
    let odd: usize = catalogue::ODD.len();
    let mut page = format!(
        "{HEAD}\n{} cases with {mistakes} mistakes. Each mistake has exactly one error, on the token that is wrong, and \
         the error says what to do",
        cases.len()
    );
    if odd == 0 {
        page.push_str(".\n");
    } else {
        page.push_str(&format!("; {odd} cases are exceptions, because rustc does not allow better:\n\n"));
        for (name, reason) in catalogue::ODD {
            page.push_str(&format!("- {}: {reason}\n", name.replace('_', " ")));
        }
    }
    page.push_str(DUPLICATES);
    page.push_str("\n| the mistake | the error |\n| --- | --- |\n");
    for case in &cases {
        let errors: Vec<_> = case.errors.iter().map(|error| error.headline.replace('|', "\\|")).collect();
        page.push_str(&format!("| {} | {} |\n", case.name.replace('_', " "), errors.join("<br>")));
    }
    if std::env::var_os("PULPO_BLESS").is_some() {
        std::fs::write(PAGE, &page).expect("written");
    }
    let written = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(written == page, "docs/errors.md does not say what rustc says: see its head");
}

#[test]
fn each_mistake_has_one_error_on_its_token_with_its_remedy() {
    let wrong: Vec<_> = catalogue::read().iter().filter_map(catalogue::Case::wrong).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn correct_programs_compile() {
    compiled::run("correct_programs_compile", |cases| cases.pass("tests/ui/pass/*.rs"));
}

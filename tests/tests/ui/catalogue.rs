//! The cases of `ui/fail`: what each says is wrong, and what rustc said.

use std::fs;
use std::path::Path;

/// The cases in which rustc cannot be brought to one error on the token with
/// its remedy, and why.
pub(crate) const ODD: &[(&str, &str)] = &[
    ("a_job_and_a_named_handler_of_it", SECOND),
    ("body_of_two_request_types", SECOND),
    (
        "crate_path_without_pulpo_on_a_job",
        "three errors: one on the derive, which finds nothing of pulpo at that path, and one each where the job is handled \
         and published",
    ),
    (
        "job_of_a_module_with_a_named_handler",
        "two errors, since the job and its handler name the type in two ways: one on the second body, one on the name that \
         both have",
    ),
    ("job_with_a_named_handler", SECOND),
    (
        "jobs_in_a_file",
        "one error, on the module, without the remedy, which is to write the module out: rustc refuses it itself",
    ),
    (
        "jobs_and_main_with_a_type_without_a_job",
        "two errors if the list of jobs and the worker stand in one crate: one in the list, one on its name in `main!`",
    ),
    ("job_without_its_handler_named_again", SECOND),
    ("main_in_a_module", NO_MAIN),
    ("main_in_another_function", NO_MAIN),
    ("main_as_an_expression", "one error, on the macro, without the remedy: rustc wanted an expression"),
    ("handler_twice_on_a_function", SECOND),
    (
        "returns_an_error_without_a_size",
        "two errors, both of rustc's: on the return type and on the value; a box around the error mends both",
    ),
    (
        "publish_in_a_shared_reference",
        "one error, on the argument, which says that it must be `&mut`: rustc compares the references before it asks which \
         clients there are",
    ),
    (
        "publish_with_the_request_type",
        "two errors: rustc counts the arguments, and looks at the type of the first one too",
    ),
    ("two_handlers_of_one_body_and_two_names", SECOND),
    ("two_handlers_of_one_name_and_body", SECOND),
    (
        "unknown_type_with_a_name_of_one_letter",
        "two errors on the same token: rustc advises a type parameter, but only where the function is written",
    ),
];

/// There is no function `main` at the top, which rustc always says itself.
const NO_MAIN: &str = "one error, at the end of the file; the note below is on the macro";

/// The placeholder for the token of an error at the end of a file.
const END: &str = "(the end of the file)";

/// The body has a second implementation of `Job`, of which rustc speaks in
/// words of its own.
const SECOND: &str = "one error, on the second body; it names the first one but not the remedy";

/// One file.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) mistakes: Vec<Mistake>,
    pub(crate) errors: Vec<Error>,
}

/// `//~ token => remedy`, or `//~ token` in an odd case.
pub(crate) struct Mistake {
    token: String,
    remedy: Option<String>,
}

/// One error of rustc.
pub(crate) struct Error {
    pub(crate) headline: String,
    /// The underlined code; of several lines, the first.
    token: String,
    /// All of it.
    text: String,
}

/// All cases, by name.
pub(crate) fn read() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui/fail");
    let mut sources: Vec<_> = fs::read_dir(folder)
        .expect("the cases")
        .map(|entry| entry.expect("a case").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect();
    sources.sort();
    sources.iter().map(|source| Case::read(source)).collect()
}

impl Case {
    fn read(source: &Path) -> Self {
        let name = source.file_stem().expect("a name").to_string_lossy().into_owned();
        let text = fs::read_to_string(source).expect("a case");
        let mistake = |line: &str| {
            let mistake = line.strip_prefix("//~ ")?;
            Some(match mistake.split_once(" => ") {
                Some((token, remedy)) => Mistake { token: token.to_owned(), remedy: Some(remedy.to_owned()) },
                None => Mistake { token: mistake.to_owned(), remedy: None },
            })
        };
        let said = fs::read_to_string(source.with_extension("stderr")).expect("what rustc says");
        Self { name, mistakes: text.lines().filter_map(mistake).collect(), errors: errors(&said) }
    }

    /// The faults of this case, in words.
    pub(crate) fn wrong(&self) -> Option<String> {
        let odd = ODD.iter().any(|(name, _)| *name == self.name);
        if odd != self.mistakes.iter().any(|mistake| mistake.remedy.is_none()) {
            return Some(format!("{}: a mistake without a remedy is one of an odd case", self.name));
        }
        if self.mistakes.is_empty() || self.mistakes.len() != self.errors.len() {
            return Some(format!(
                "{}: {} mistakes, each with a line `//~ token => remedy`, and {} errors",
                self.name,
                self.mistakes.len(),
                self.errors.len()
            ));
        }
        let mut errors: Vec<_> = self.errors.iter().collect();
        for Mistake { token, remedy } in &self.mistakes {
            let says = |error: &Error| remedy.as_ref().is_none_or(|remedy| error.text.contains(remedy));
            match errors.iter().position(|error| error.token == *token && says(error)) {
                Some(index) => drop(errors.remove(index)),
                None => return Some(format!("{}: no error on `{token}` that says {remedy:?}", self.name)),
            }
        }
        None
    }
}

/// The errors of what rustc says.
fn errors(said: &str) -> Vec<Error> {
    let mut errors: Vec<Vec<&str>> = Vec::new();
    let mut of_an_error = false;
    for line in said.lines() {
        let headline = line.starts_with("error: ") || line.starts_with("error[");
        if headline || line.starts_with("warning") {
            of_an_error = headline && !line.starts_with("error: aborting");
            errors.extend(of_an_error.then(Vec::new));
        }
        if let Some(error) = errors.last_mut().filter(|_| of_an_error) {
            error.push(line);
        }
    }
    errors.iter().map(|lines| Error::of(lines)).collect()
}

impl Error {
    fn of(lines: &[&str]) -> Self {
        let headline = lines.first().and_then(|line| line.split_once(": ")).expect("a headline").1.to_owned();
        Self {
            headline,
            token: underlined(lines).filter(|token| !token.is_empty()).unwrap_or_else(|| END.to_owned()),
            text: lines.join("\n"),
        }
    }
}

/// Returns the code above the first `^^^`; of several lines, the first.
fn underlined(lines: &[&str]) -> Option<String> {
    let row = |line: &str| {
        let (gutter, code) = line.split_once("| ")?;
        let number = gutter.trim();
        number.chars().all(|digit| digit.is_ascii_digit()).then(|| (!number.is_empty(), code.to_owned()))
    };
    let mut source = None;
    for (numbered, code) in lines.iter().filter_map(|line| row(line)) {
        if let Some(first) = code.strip_prefix("/ ").filter(|_| numbered) {
            return Some(first.trim().to_owned());
        }
        if numbered {
            source = Some(code);
        } else if let Some(start) = code.find('^') {
            let start = code[..start].chars().count();
            let length = code.chars().skip(start).take_while(|c| *c == '^').count();
            return Some(source?.chars().skip(start).take(length).collect());
        }
    }
    None
}

#[test]
fn an_odd_case_is_a_case() {
    let cases = read();
    for (name, _) in ODD {
        assert!(cases.iter().any(|case| case.name == *name), "{name}");
    }
}

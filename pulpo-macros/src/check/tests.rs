//! Each fault, tested by the tokens that it points at. The UI cases of the package `pulpo-tests`
//! cover its message, and how rustc shows it.

use quote::ToTokens as _;

use super::{Checked, Declared};
use crate::faults::Faults;

const GOOD: &str = "fn send(email: SendEmail) -> Outcome { Ok(()) }";

/// Returns the source texts that the faults of a handler point at.
fn faults(arguments: &str, item: &str) -> Vec<String> {
    let mut faults = Faults::default();
    let _ = Checked::new(arguments.parse().expect("tokens"), item.parse().expect("tokens"), &mut faults);
    faults.iter().map(|fault| fault.span().source_text().unwrap_or_default()).collect()
}

/// Returns the source texts that the faults of a type declared as a job point at.
fn faults_of_type(item: &str) -> Vec<String> {
    let mut faults = Faults::default();
    let _ = Declared::new(item.parse().expect("tokens"), &mut faults);
    faults.iter().map(|fault| fault.span().source_text().unwrap_or_default()).collect()
}

#[test]
fn the_type_is_checked() {
    for good in [
        r#"#[job("send")] struct Email { to: String }"#,
        r#"#[serde(rename_all = "lowercase")] #[job("send", queue = "mail", alias = "old", crate = x::y)] pub enum Email { A }"#,
        r#"#[job("send")] pub(crate) struct Email;"#,
    ] {
        assert_eq!(faults_of_type(good), [""; 0], "{good}");
    }
    for (item, place) in [
        (r#"#[job("send")] struct Email<T>(T);"#, "<T>"),
        (r#"#[job("send")] struct Email<'a>(&'a str);"#, "<'a>"),
        (r#"#[job("send")] struct Email where u8: Sized {}"#, "where u8: Sized"),
        (r#"#[job("send")] union Email { a: u8 }"#, "union"),
        (r#"#[job("send")] #[job("post")] struct Email;"#, r#"#[job("post")]"#),
        (r#"#[job = "send"] struct Email;"#, r#"#[job = "send"]"#),
        ("#[job] struct Email;", "#[job]"),
        (r#"#[job("se nd")] struct Email;"#, r#""se nd""#),
        (r#"#[job("send", quee = "mail")] struct Email;"#, "quee"),
        (r#"#[job("send", ttr = 5)] struct Email;"#, "5"),
    ] {
        assert_eq!(faults_of_type(item), [place], "{item}");
    }
    // These faults point at the derive macro and at the attribute.
    assert_eq!(faults_of_type("struct Email;").len(), 1);
    assert_eq!(faults_of_type("#[job()] struct Email;").len(), 1);
}

#[test]
fn a_handler_without_a_name_says_nothing_about_the_job() {
    assert_eq!(faults("", GOOD), [""; 0]);
    assert_eq!(faults("crate = x::y", GOOD), [""; 0]);
    assert_eq!(faults(r#"crate = x, queue = "mail", ttr = "5s""#, GOOD), ["queue"]);
    assert_eq!(faults("quee = 5", GOOD), ["quee"]);
}

#[test]
fn correct_handlers_have_no_faults() {
    for arguments in [
        r#""send""#,
        r#""send","#,
        r#""billing:send/now+$(x);.v_1-2", priority = 0, max_attempts = 1"#,
        r#""send", priority = 4_294_967_295u32, max_attempts = 0xFFFF_FFFF"#,
        r##""send", queue = r#"mail"#, backoff = "5s", ttr = "1s", timeout = "1ms""##,
        r#""send", backoff = "1s .. 1h 30m", ttr = "4294967295s""#,
        r#""send", alias = "a", alias = "b", crate = self::pulpo"#,
    ] {
        assert_eq!(faults(arguments, GOOD), [""; 0], "{arguments}");
    }
    for item in [
        "fn send(SendEmail { to, .. }: SendEmail) {}",
        "fn send(mut email: mail::SendEmail<Vec<u8>, 3>) {}",
        "pub(crate) fn send(_: Text<'static>) -> ! { loop {} }",
        "#[cfg(unix)] #[doc = \"x\"] fn send(_: (Email)) -> Result<(), Box<dyn Error>> { Ok(()) }",
        "fn send(_: <Mail as Kind>::Body) {}",
        "fn send(_: my::Vec<u8>) {}",
        "pub async fn send(_: Email, _: &Context) -> Outcome { Ok(()) }",
        "fn send(_: Email, pool: State<Pool>, _: &Context, b: u8) {}",
        "fn send(_: address::State) {}",
    ] {
        assert_eq!(faults(r#""send""#, item), [""; 0], "{item}");
    }
}

#[test]
fn each_argument_is_checked() {
    for (argument, place) in [
        ("queue = mail", "mail"),
        (r#"queue = """#, r#""""#),
        (r#"queue = "-mail""#, r#""-mail""#),
        (r#"queue = "a:b""#, r#""a:b""#),
        ("priority = -1", "- 1"),
        ("priority = 1.5", "1.5"),
        ("priority = 4294967296", "4294967296"),
        ("priority = 1i64", "1i64"),
        (r#"priority = "1""#, r#""1""#),
        ("max_attempts = 0", "0"),
        ("max_attempts = MANY", "MANY"),
        ("ttr = 60", "60"),
        (r#"ttr = "999ms""#, r#""999ms""#),
        (r#"ttr = "137years""#, r#""137years""#),
        (r#"timeout = "0s""#, r#""0s""#),
        (r#"timeout = """#, r#""""#),
        (r#"backoff = "0s""#, r#""0s""#),
        (r#"backoff = "2s..1s""#, r#""2s..1s""#),
        (r#"backoff = "1s..""#, r#""1s..""#),
        (r#"backoff = "1s..2s..3s""#, r#""1s..2s..3s""#),
        (r#"alias = "send""#, r#""send""#),
        (r#"alias = "a b""#, r#""a b""#),
        (r#"crate = "pulpo""#, r#""pulpo""#),
        (r#"linger = "2s""#, "linger"),
        ("bach = 100", "bach"),
        ("r#crate_ = x", "r#crate_"),
        ("queue", "queue"),
        ("queue =", "queue ="),
        (r#"queue("mail")"#, r#"queue("mail")"#),
        (r#""other""#, r#""other""#),
        ("ttr = \"2s\", ttr = \"2s\"", "ttr"),
        (",", ","),
    ] {
        let found = faults(&format!(r#""send", {argument}"#), GOOD);
        assert_eq!(
            found.iter().map(|text| text.replace(' ', "")).collect::<Vec<_>>(),
            [place.replace(' ', "")],
            "{argument}"
        );
    }
}

#[test]
fn a_batch_is_checked() {
    let good = "fn send(emails: Vec<SendEmail>, _: &Context) -> Vec<Outcome> { Vec::new() }";
    for arguments in [r#""send", batch = 100"#, r#"batch = 1, linger = "0s""#, r#""send", linger = "2s", batch = 7u32"#]
    {
        assert_eq!(faults(arguments, good), [""; 0], "{arguments}");
    }
    for (argument, place) in [
        ("batch = 0", "0"),
        (r#"batch = "100""#, r#""100""#),
        ("batch = 100, linger = 2", "2"),
        ("batch = 0, linger = \"2s\"", "0"),
        ("batch = 1, batch = 2", "batch"),
    ] {
        assert_eq!(faults(&format!(r#""send", {argument}"#), good), [place], "{argument}");
    }
    for (item, place) in [
        ("fn send(_: SendEmail) {}", "SendEmail"),
        ("fn send(_: &[SendEmail]) {}", "&[SendEmail]"),
        ("fn send(_: &Vec<SendEmail>) {}", "&Vec<SendEmail>"),
        ("fn send(_: Vec<String>) {}", "String"),
        ("fn send(_: Vec<Vec<SendEmail>>) {}", "Vec<SendEmail>"),
        ("fn send(_: Vec) {}", "Vec"),
        ("fn send(_: (A, B)) {}", "(A, B)"),
    ] {
        assert_eq!(faults(r#""send", batch = 100"#, item), [place], "{item}");
    }
    let declared = r#"#[job("send", batch = 5, linger = "2s")] struct Email;"#;
    assert_eq!(faults_of_type(declared), ["batch", "linger"]);
}

#[test]
fn the_request_type_is_checked() {
    for (arguments, place) in [
        (r#""""#, r#""""#),
        (r#""a b""#, r#""a b""#),
        ("\"caf\u{e9}\"", "\"caf\u{e9}\""),
        ("send_email", "send_email"),
        ("5", "5"),
        (r#"name = "send""#, "name"),
        (r#"queue = "mail", "send""#, r#""send""#),
    ] {
        assert_eq!(faults(arguments, GOOD), [place], "{arguments}");
    }
    assert_eq!(faults(r#"queue = "mail""#, GOOD), ["queue"]);
}

#[test]
fn the_function_is_checked() {
    for (item, place) in [
        ("const fn send(_: Email) {}", "const"),
        ("unsafe fn send(_: Email) {}", "unsafe"),
        ("extern \"C\" fn send(_: Email) {}", "extern \"C\""),
        ("#[target_feature(enable = \"avx2\")] fn send(_: Email) {}", "#[target_feature(enable = \"avx2\")]"),
        ("#[inline] #[tokio::main] async fn send(_: Email) {}", "#[tokio::main]"),
        ("fn send<T>(_: Email<T>) {}", "<T>"),
        ("fn send<'a>(_: &'a Email) {}", "<'a>"),
        ("fn send<const N: usize>(_: [u8; N]) {}", "<const N: usize>"),
        ("fn send(_: Email) where Email: Sized {}", "where Email: Sized"),
        ("fn send(&self, _: Email) {}", "&self"),
        ("fn send() {}", "()"),
        ("fn send(_: &Context, _: Email) {}", "&Context"),
        ("fn send(_: pulpo::State<Pool>, _: Email) {}", "pulpo::State<Pool>"),
        ("fn send(_: &Email) {}", "&Email"),
        ("fn send(_: &mut Email) {}", "&mut Email"),
        ("fn send(_: impl Body) {}", "impl Body"),
        ("fn send(_: Text<'_>) {}", "'_"),
        ("fn send(_: Vec<Email>) {}", "Vec<Email>"),
        ("fn send(_: std::string::String) {}", "std::string::String"),
        ("fn send(_: (Email, u8)) {}", "(Email, u8)"),
        ("fn send(_: ()) {}", "()"),
        ("fn send(_: Self) {}", "Self"),
        ("fn send(_: Email);", "fn send(_: Email)"),
        ("pub safe fn send(_: Email);", "fn send(_: Email)"),
        ("pub struct Email(u8);", "struct Email"),
        ("#[derive(Debug)] enum Email {}", "enum Email"),
        ("impl Email {}", "impl Email"),
        ("mod mail {}", "mod mail"),
        ("const SEND: u8 = 0;", "const SEND"),
    ] {
        assert_eq!(faults(r#""send""#, item), [place], "{item}");
    }
}

#[test]
fn mistakes_that_rustc_always_refuses_are_left_to_it() {
    for item in ["fn send(_: _) {}", "fn send(_: Email<_>) {}", "fn send(_: dyn Body) {}", "fn send(_: [u8]) {}"] {
        assert_eq!(faults(r#""send""#, item), [""; 0], "{item}");
    }
}

#[test]
fn all_faults_are_found_in_one_pass() {
    assert_eq!(
        faults(
            r#""a b", , prioritty = 1, ttr = 60, queue = , alias = "c d", max_attempts = 0, max_attempts = 1"#,
            "async unsafe fn send(_: &Email, b: u8) where Email: Sized {}",
        ),
        [
            ",",
            "queue =",
            "\"a b\"",
            "prioritty",
            "60",
            "\"c d\"",
            "0",
            "max_attempts",
            "unsafe",
            "where Email: Sized",
            "&Email",
        ]
    );
}

/// Code that publishes relies on the body that a faulty handler meant.
#[test]
fn the_body_that_was_meant_is_known_in_spite_of_a_fault() {
    let meant = |arguments: &str, item: &str| {
        let mut faults = Faults::default();
        let checked = Checked::new(arguments.parse().expect("tokens"), item.parse().expect("tokens"), &mut faults);
        let function = checked.function.expect("a function");
        assert!(!faults.is_empty() || !function.readable, "{item}");
        function.body.map(|body| body.to_token_stream().to_string())
    };
    for item in [
        "fn send(_: &Email) {}",
        "fn send(_: &'static mut Email) {}",
        "fn send(_: Box<Email>) {}",
        "fn send(_: std::sync::Arc<Email>) {}",
        "fn send(_: pulpo::Message<Email>) {}",
        "fn send<T>(_: Email) {}",
        "unsafe fn send(_: Email) {}",
        "fn send(_: Email, _: &'static Context) {}",
        "fn send(_: Email, _: State<dyn Debug>) {}",
        "fn send(email Email) {}",
        "fn send(email: Email,, run: &Context) {}",
        "fn send(Email) {}",
        "fn send(_: Email) => Outcome {}",
    ] {
        assert_eq!(meant(r#""send""#, item).as_deref(), Some("Email"), "{item}");
    }
    for item in ["fn send(_: &[Email]) {}", "fn send(_: &Vec<Email>) {}", "fn send(_: Box<[Email]>) {}"] {
        assert_eq!(meant(r#""send", batch = 5"#, item).as_deref(), Some("Email"), "{item}");
    }
    for item in ["fn send(_: &str) {}", "fn send(_: String) {}", "fn send<T>(_: Wrap<T>) {}", "fn send(email) {}"] {
        assert_eq!(meant(r#""send""#, item), None, "{item}");
    }
}

#[test]
fn parameters_after_the_body_are_checked() {
    for (parameter, place) in [
        ("&'static Context", "'static"),
        ("&'static pulpo::Context", "'static"),
        ("State<dyn Debug>", "dyn Debug"),
        ("pulpo::State<str>", "str"),
        ("State<[u8]>", "[u8]"),
        ("impl Clone", "impl Clone"),
        ("#[cfg(unix)] &Context", "#[cfg(unix)]"),
    ] {
        let item = match parameter.split_once("] ") {
            Some((attribute, ty)) if attribute.starts_with('#') => {
                format!("fn send(_: Email, {attribute}] _: {ty}) {{}}")
            }
            _ => format!("fn send(_: Email, _: {parameter}) {{}}"),
        };
        assert_eq!(faults(r#""send""#, &item), [place], "{item}");
    }
}

#[test]
fn advice_is_given_only_if_it_would_be_accepted() {
    let said = |argument: &str| {
        let mut faults = Faults::default();
        let arguments = format!("\"send\", {argument}");
        let _ = Checked::new(arguments.parse().expect("tokens"), GOOD.parse().expect("tokens"), &mut faults);
        let said: Vec<_> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), 1, "{argument}: {said:?}");
        said.concat()
    };
    for argument in ["queue = send-mail", "timeout = 5", "rate = 10/1m"] {
        assert!(said(argument).contains("write \""), "{argument}: {}", said(argument));
    }
    for argument in ["queue = send mail", "queue = a--b", "timeout = -5", "rate = many/1m"] {
        assert!(!said(argument).contains("write \""), "{argument}: {}", said(argument));
    }
}

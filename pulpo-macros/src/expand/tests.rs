//! The output, read as code. `tests/expansion` has it in full.

use std::path::Path;

use proc_macro2::TokenStream;
use syn::{Attribute, Item, ItemImpl};

use super::{handler, job};
use crate::seen::Seen;

fn expand(arguments: &str, item: &str) -> String {
    let output = handler(arguments.parse().expect("tokens"), item.parse().expect("tokens"), &Seen::new());
    read(output)
}

fn read(output: TokenStream) -> String {
    let mut file: syn::File = syn::parse2(output).expect("items");
    file.items = file.items.into_iter().flat_map(in_full).collect();
    prettyplease::unparse(&file)
}

/// Expands the item that replaces the block outside an `impl`, as rustc does.
fn in_full(item: Item) -> Vec<Item> {
    let of_ours = |attribute: &&Attribute| attribute.path().segments.last().is_some_and(|last| last.ident == "beside");
    if let Item::Impl(ItemImpl { attrs, .. }) = &item
        && let Some(beside) = attrs.iter().find(of_ours)
    {
        let block = beside.meta.require_list().expect("a block").tokens.clone();
        return syn::parse2::<syn::File>(block).expect("items").items;
    }
    vec![item]
}

#[track_caller]
fn assert_expands_to(file: &str, arguments: &str, item: &str) {
    assert_is(file, expand(arguments, item));
}

/// Compares the output with the file, or writes the file if `PULPO_BLESS` is set.
#[track_caller]
fn assert_is(file: &str, output: String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expansion").join(file);
    if std::env::var_os("PULPO_BLESS").is_some() {
        std::fs::write(&path, &output).expect("written");
    }
    let expected = std::fs::read_to_string(&path).expect("the expected output");
    assert_eq!(output, expected, "of {file}; PULPO_BLESS=1 rewrites it");
}

#[test]
fn a_minimal_handler() {
    assert_expands_to("minimal.rs", r#""ping""#, "fn ping(_: Ping) {}");
}

#[test]
fn a_handler_with_every_argument() {
    assert_expands_to(
        "full.rs",
        r#""send_email", queue = "mail", priority = 10, max_attempts = 5, backoff = "1s..1h",
           ttr = "90s", timeout = "1500ms", alias = "sendmail", alias = "mail::send",
           crate = crate::jobs::pulpo,"#,
        r#"/// Sends one.
           #[cfg(feature = "mail")]
           #[expect(deprecated)]
           #[cfg_attr(unix, cfg(not(test)), inline)]
           pub(crate) fn send_email(SendEmail { to, .. }: mail::SendEmail<4>) -> Result<(), mail::Error> {
               mail::send(to)
           }"#,
    );
}

#[test]
fn a_handler_with_parameters() {
    assert_expands_to(
        "parameters.rs",
        r#""ping""#,
        "fn ping(_: Ping, pool: State<Pool>, run: &pulpo::Context) -> Outcome { Ok(()) }",
    );
}

#[test]
fn an_async_handler() {
    assert_expands_to("async.rs", r#""ping""#, "async fn ping(_: Ping, run: &Context) -> Outcome { Ok(()) }");
}

#[test]
fn a_batch_handler() {
    assert_expands_to(
        "batch.rs",
        r#""ping", batch = 100, linger = "1500ms""#,
        "fn ping(all: Vec<Ping>, run: &Context) -> Result<Vec<Outcome>, Error> { Ok(Vec::new()) }",
    );
}

#[test]
fn an_async_batch_handler_of_a_declared_job() {
    let item = "async fn ping(all: Vec<jobs::Ping>, pool: State<Pool>) -> Vec<Outcome> { Vec::new() }";
    let output = expand("batch = 20", item);
    // What is before is that of a handler without a batch: `nameless.rs`.
    let entry = output.find("    const fn __pulpo_entry_of_ping").expect("the entry");
    assert_is("async_batch.rs", format!("const _: () = {{\n{}", &output[entry..]));
}

#[test]
fn handlers_that_return_what_cannot_be_written() {
    assert_expands_to("never.rs", r#""ping""#, "fn ping(_: Ping) -> ! { loop {} }");
    assert_expands_to("never_async.rs", r#""ping""#, "async fn ping(_: Ping) -> ! { loop {} }");
    assert_expands_to("unnamed.rs", r#""ping""#, "fn ping(_: Ping) -> impl pulpo::IntoOutcome {}");
    assert_expands_to("unnamed_async.rs", r#""ping""#, "async fn ping(_: Ping) -> impl pulpo::IntoOutcome {}");
}

#[test]
fn the_block_is_put_where_it_can_stand_in_no_impl() {
    let output =
        handler(r#""ping""#.parse().expect("tokens"), "fn ping(_: Ping) {}".parse().expect("tokens"), &Seen::new());
    let text = output.to_string();
    assert!(text.contains("# [:: pulpo :: __private :: beside (const _ : () ="), "{text}");
    assert!(text.ends_with("impl :: pulpo :: __private :: NoJob { }"), "{text}");
}

#[test]
fn a_declared_job_and_its_handler() {
    let item = r#"#[deprecated] #[job("ping", queue = "net", alias = "pong")] pub struct Ping { host: String }"#;
    let output = job(item.parse().expect("tokens"), &Seen::new());
    assert_is("declared.rs", read(output));
    assert_expands_to("nameless.rs", "", "fn ping(_: jobs::Ping) {}");
}

#[test]
fn a_faulty_handler_is_still_a_job() {
    assert_expands_to("faulty.rs", r#""ping", ttr = 60, priority = 7"#, "#[cfg(unix)] fn ping(_: Ping) {}");
}

#[test]
fn the_item_comes_back_whatever_it_is() {
    for item in ["struct Email {}", "impl Email {}", "fn send(self, a: &u8) {}", "async fn send() {}"] {
        let output = expand("", item);
        let item = prettyplease::unparse(&syn::parse_str(item).expect("an item"));
        assert!(output.starts_with(&item), "{output}");
    }
}

#[test]
fn a_variadic_parameter_is_removed_with_its_pattern() {
    for parameters in ["...", "_: ...", "arguments: ...", "#[expect(unused)] arguments: ..."] {
        let output = expand(r#""a""#, &format!("fn a(ping: Ping, {parameters}) {{}}"));
        assert!(output.contains("fn a(ping: Ping)") && !output.contains("..."), "{parameters}: {output}");
        assert!(output.contains("remove the variadic one"), "{parameters}: {output}");
    }
}

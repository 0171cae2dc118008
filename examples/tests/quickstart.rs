//! Runs the quickstart as a newcomer does, in its own folder.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use mail_parser::MessageParser;
use pulpo_examples::orders::{self, Order, Status};

type Done = Result<(), Box<dyn Error>>;

/// Runs the quickstart without the variables that the tests' environment sets for pulpo.
fn quickstart(folder: &Path, arguments: &[&str], queue: Option<&str>) -> Result<Output, Box<dyn Error>> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quickstart"));
    for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("PULPO_")) {
        command.env_remove(key);
    }
    command.env_remove("RUST_LOG").envs(queue.map(|queue| ("PULPO_QUEUE", queue)));
    Ok(command.args(arguments).current_dir(folder).output()?)
}

/// Returns the standard output of a successful run.
#[track_caller]
fn said(output: &Output) -> String {
    let (out, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{log}", output.status);
    assert!(!log.contains('\u{1b}') && !out.contains('\u{1b}'), "colour, though it is not a terminal:\n{log}");
    out.into_owned()
}

fn has_line(text: &str, start: &str) -> bool {
    text.lines().any(|line| line.split_whitespace().collect::<Vec<_>>().join(" ").starts_with(start))
}

/// Returns the numbers of the orders for which there is a file.
fn files(folder: &Path, kind: &str) -> Result<BTreeSet<String>, Box<dyn Error>> {
    let entries = fs::read_dir(folder.join("quickstart-output").join(kind))?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

fn names<'a>(orders: impl IntoIterator<Item = &'a Order>, ending: &str) -> BTreeSet<String> {
    orders.into_iter().map(|order| format!("{}.{ending}", order.number)).collect()
}

/// A simpler rule than the program's, which is enough for our file.
fn has_address(order: &Order) -> bool {
    order.email.contains('@') && !order.email.contains(' ')
}

/// Returns the lines of the output that README.md quotes, except for those that differ between runs.
fn quoted() -> Result<Vec<String>, Box<dyn Error>> {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"))?;
    let (_, output) = readme.split_once("--bin quickstart\n").ok_or("no output")?;
    let (output, _) = output.split_once("```").ok_or("no end of the output")?;
    let differs = |line: &&str| line.starts_with(" WARN") || line.contains("target/debug") || line.trim() == "…";
    Ok(output.lines().filter(|line| !differs(line)).map(str::to_owned).collect())
}

#[test]
fn it_does_its_jobs_and_says_so_the_second_time_too() -> Done {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let (orders, faults) = orders::read()?;
    assert_eq!((orders.len(), faults.len()), (194, 6), "{faults:?}");
    let (reachable, unreachable): (Vec<_>, Vec<_>) = orders.iter().partition(|order| has_address(order));
    assert_eq!(unreachable.len(), 3);
    let unpaid = orders.iter().filter(|order| order.status == Status::Unpaid);
    let greylisted: BTreeSet<_> =
        reachable.iter().map(|order| &order.email).filter(|email| email.ends_with("@kirjeposti.example")).collect();

    for run in 1..=2 {
        let output = quickstart(folder, &[], None)?;
        let text = said(&output);

        let checks = files(folder, "fraud-checks")?;
        assert_eq!(files(folder, "receipts")?, names(reachable.iter().copied(), "eml"), "run {run}: {text}");
        assert_eq!(files(folder, "reminders")?, names(unpaid.clone(), "eml"), "run {run}: {text}");
        assert!(checks.len() > 5, "run {run}: {text}");

        let done = reachable.len() + unpaid.clone().count() + checks.len();
        for line in [
            "read 194 orders; skipped 6 lines that are not orders:".to_owned(),
            "line 48: quantity: ".to_owned(),
            "line 103: expected 13 fields, got 7".to_owned(),
            format!("done {done} jobs"),
            format!("retried {} ", greylisted.len()),
            "buried 3 ".to_owned(),
        ] {
            assert!(has_line(&text, &line), "run {run}, {line:?}: {text}");
        }
        for order in &unreachable {
            assert!(text.contains(&format!("send_receipt: {:?} is not a mail address", order.email)), "{text}");
        }
        assert_eq!(text.contains("and 3 from earlier runs"), run == 2, "{text}");
        assert!(!text.contains("\nleft "), "{text}");
        if run == 1 {
            let quoted = quoted()?;
            assert!(quoted.len() > 8, "{quoted:?}");
            for line in quoted {
                let line = line.replace("/home/ada/pulpo", &folder.display().to_string());
                assert!(text.lines().any(|said| said == line), "examples/README.md quotes {line:?}: {text}");
            }
        }
        assert!(String::from_utf8_lossy(&output.stderr).contains("451 4.7.1"), "the log says why one was retried");
    }

    // The same queue, afterwards.
    let listed = said(&quickstart(folder, &["list", "--state", "buried", "--json"], None)?);
    assert_eq!(listed.matches("is not a mail address").count(), 6, "{listed}");
    Ok(())
}

#[test]
fn it_writes_mails_and_json_of_the_orders() -> Done {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let text = said(&quickstart(folder, &[], Some("memory:"))?);
    assert!(text.contains("into memory:") && !folder.join("pulpo-data").exists(), "{text}");

    let (orders, _) = orders::read()?;
    for order in orders.iter().filter(|order| has_address(order)) {
        let raw = fs::read(folder.join(format!("quickstart-output/receipts/{}.eml", order.number)))?;
        let head = raw.windows(4).position(|four| four == b"\r\n\r\n").ok_or("no end of the head")?;
        assert!(raw[..head].is_ascii(), "{}: RFC 5322 knows no other", order.number);
        assert!(raw.split(|byte| *byte == b'\n').all(|line| line.len() <= 79), "{}: a line is long", order.number);
        assert!(raw.split_inclusive(|byte| *byte == b'\n').all(|line| line.ends_with(b"\r\n")), "{}", order.number);

        let mail = MessageParser::default().parse(&raw).ok_or("not a mail")?;
        let to = mail.to().and_then(|to| to.first()).ok_or("no recipient")?;
        assert_eq!(to.name(), Some(order.customer.as_str()));
        assert_eq!(to.address(), Some(order.email.as_str()));
        assert_eq!(mail.subject(), Some(format!("Receipt: {}", order.item).as_str()));
        assert!(mail.date().is_some() && mail.message_id().is_some() && mail.from().is_some(), "{}", order.number);
        let body = mail.body_text(0).ok_or("no text")?;
        for part in [&order.customer, &order.item, &order.street, &order.town, &order.amount.to_string()] {
            assert!(body.contains(part.as_str()), "{part}: {body}");
        }
    }

    for name in files(folder, "fraud-checks")? {
        let check: serde_json::Value =
            serde_json::from_slice(&fs::read(folder.join("quickstart-output/fraud-checks").join(&name))?)?;
        assert!(check["verdict"].is_string(), "{check}");
        assert_eq!(name, format!("{}.json", check["order"]["number"]), "{check}");
    }
    Ok(())
}

#[test]
fn it_runs_unchanged_on_a_server() -> Done {
    let server = pulpo_tests::beanstalkd::BeanstalkdServer::start();
    let folder = tempfile::tempdir()?;
    let queue = format!("beanstalkd://127.0.0.1:{}", server.port());
    let text = said(&quickstart(folder.path(), &[], Some(&queue))?);
    assert!(has_line(&text, "done 227 jobs") && has_line(&text, "buried 3 "), "{text}");
    assert_eq!(text.matches("is not a mail address").count(), 3, "{text}");
    assert_eq!(files(folder.path(), "receipts")?.len(), 191);
    let listed = said(&quickstart(folder.path(), &["list", "--state", "buried"], Some(&queue))?);
    assert_eq!(listed.matches("send_receipt").count(), 3, "{listed}");
    assert_eq!(listed.matches("is not a mail address").count(), 3, "{listed}");
    Ok(())
}

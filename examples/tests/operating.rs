//! Runs the session of docs/operating.md again. With `OVERWRITE=1` it writes the output into the
//! document instead of comparing it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use pulpo_tests::beanstalkd::free_port;
use pulpo_tests::program::Sandbox;
use pulpo_tests::wait::until;

const MAILER: &str = env!("CARGO_BIN_EXE_mailer");

/// The address of the mail server in the document.
const SERVER: &str = "127.0.0.1:2525";

/// A mail server that accepts every mail.
fn serve(listener: &TcpListener) {
    for connection in listener.incoming() {
        let mut writer = connection.expect("a connection");
        let reader = BufReader::new(writer.try_clone().expect("the same"));
        let mut answer = |text: &str| writer.write_all(format!("{text}\r\n").as_bytes()).expect("written");
        answer("220 mail.example");
        let mut in_data = false;
        for line in reader.lines().map_while(Result::ok) {
            match line.as_str() {
                "." => (in_data, _) = (false, answer("250 taken")),
                _ if in_data => {}
                "DATA" => (in_data, _) = (true, answer("354 go on")),
                "QUIT" => answer("221 bye"),
                _ => answer("250 ok"),
            }
        }
    }
}

/// Removes the times, which differ between runs, and the column widths that depend on them.
fn timeless(text: &str) -> String {
    let mut words = Vec::new();
    for line in text.lines() {
        for word in line.split_whitespace() {
            let bare = word.trim_end_matches([',', ':']);
            let time = bare.starts_with("20") && bare.ends_with('Z') && bare.contains('T');
            let age = bare.trim_matches(['(', ')']);
            let age = age.ends_with(['s', 'm']) && age.starts_with(|c: char| c.is_ascii_digit());
            let worker = bare.len() >= 16 && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
            let masked = if worker { "WORKER" } else { "TIME" };
            words.push(if time || age || worker { masked.to_owned() } else { word.to_owned() });
        }
        words.push("\n".to_owned());
    }
    words.join(" ")
}

#[test]
fn the_session_of_the_documentation_is_a_real_one() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operating.md");
    let document = std::fs::read_to_string(&file).expect("the document");
    let place = Sandbox::new();
    // The mail server is not running yet.
    let address = format!("127.0.0.1:{}", free_port());
    let run = |line: &str| {
        let line = line.replacen("mailer", &format!("'{MAILER}'"), 1);
        let mut shell = place.command("sh", &["-c", &format!("{line} 2>&1")]);
        shell.env("MAIL_SERVER", &address).env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
        let output = shell.stdin(std::process::Stdio::null()).output().expect("started");
        String::from_utf8(output.stdout).expect("text").replace(&address, SERVER)
    };
    let mails = (1..=10).map(|n| match n {
        4 => "{\"to\": \"grace\", \"subject\": \"order 1004\"}\n".to_owned(),
        n => format!("{{\"to\": \"ada{n}@example.com\", \"subject\": \"order {}\"}}\n", 1000 + n),
    });
    std::fs::write(place.path("mails.jsonl"), mails.collect::<String>()).expect("written");
    run("mailer publish send_email --lines @mails.jsonl");
    let mut worker = Command::new(MAILER);
    worker.current_dir(place.folder()).env("MAIL_SERVER", &address);
    let _worker = place.start(worker);
    let settled = || {
        let stats: serde_json::Value = serde_json::from_str(&run("mailer stats --json")).expect("JSON");
        let waiting = |counts: &serde_json::Value| ["ready", "delayed", "reserved"].iter().any(|s| counts[s] != 0);
        !stats["counts"].as_array().expect("counts").iter().any(waiting)
    };

    let mut written = String::new();
    let mut rest = document.as_str();
    while let Some((before, block)) = rest.split_once("```console\n") {
        let (block, after) = block.split_once("```").expect("its end");
        if before.contains("You start it again.") {
            let listener = TcpListener::bind(&address).expect("the port is still free");
            std::thread::spawn(move || serve(&listener));
        }
        written.push_str(before);
        written.push_str("```console\n");
        for command in block.lines().filter_map(|line| line.strip_prefix("$ ")) {
            until("the worker has done what it can", settled);
            written.push_str(&format!("$ {command}\n{}", run(command)));
        }
        written.push_str("```");
        rest = after;
    }
    written.push_str(rest);
    if std::env::var_os("OVERWRITE").is_some() {
        std::fs::write(&file, &written).expect("written");
        return;
    }
    assert_eq!(timeless(&written), timeless(&document), "run it with OVERWRITE=1 to write down what came");
}

#[test]
fn handlers_tell_of_their_batches_and_states() {
    let place = Sandbox::new();
    let program = env!("CARGO_BIN_EXE_access_log");
    let said = place.run(program, &["handlers", "--json"]);
    let all: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    let handler = &all[0];
    assert_eq!((&handler["batch"], &handler["linger"]), (&100.into(), &0.1.into()), "{}", said.err);
    let states = handler["states"].as_array().expect("a list");
    assert!(states.len() == 1 && states[0].as_str().is_some_and(|name| name.ends_with("Report>")), "{states:?}");
    let table = place.run(program, &["handlers"]).out;
    assert!(table.contains(" 100 in 100ms ") && table.contains("Report> "), "{table}");
}

//! Each kind of mistake in a configuration, as a worker reports it, and the effects of the keys.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use pulpo_tests::program::Sandbox;

const WORKER: &str = env!("CARGO_BIN_EXE_operator_worker");

/// Starts a worker with this file and variable. Returns the output before it ends.
#[track_caller]
fn refused(file: Option<(&str, &str)>, variable: Option<(&str, &str)>) -> String {
    let place = Sandbox::new();
    let mut command = place.command(WORKER, &["work"]);
    if let Some((name, text)) = file {
        std::fs::write(place.path(name), text).expect("written");
        command.args(["--config", name]);
    }
    command.envs(variable);
    let output = command.output().expect("started");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(!place.path("pulpo-data").exists(), "refused before anything is done: {said}");
    said
}

#[test]
fn each_mistake_in_a_file_is_reported_with_its_line() {
    for (text, expected) in [
        (
            "\nconcurency = 2\n",
            "error: pulpo.toml:2: unknown configuration key `concurency`; did you mean `concurrency`?\n",
        ),
        (
            "concurrency = true\n",
            "error: pulpo.toml:1: expected `concurrency` to be a whole number from 1 to 1024, got true\n",
        ),
        (
            "[file_queue_adapter]\nenable_archive = \"yes\"\n",
            "error: pulpo.toml:2: expected `file_queue_adapter.enable_archive` to be true or false, got \"yes\"\n",
        ),
        (
            "shutdown_grace = \"soon\"\n",
            "error: pulpo.toml:1: expected `shutdown_grace` to be a duration such as \"30s\" or \"1h 30m\", or a number of seconds, got \"soon\"\n",
        ),
        (
            "concurrency = 5000\n",
            "error: pulpo.toml:1: expected `concurrency` to be a whole number from 1 to 1024, got 5000\n",
        ),
        ("a = 1\nqueue = \n", "error: pulpo.toml:2: the configuration file is wrong: "),
        (
            "banner_font = \"gothic\"\n",
            "error: pulpo.toml:1: expected `banner_font` to be one of standard, small, big, slant, smblock, mono12, mono9, \
             future, wideterm, or a file that ends in .flf, got \"gothic\"\n",
        ),
        (
            "queue = \"redis://me:secret@host\"\n",
            "error: pulpo.toml:1: expected `queue` to be file:FOLDER, beanstalkd://HOST:PORT/TUBE, memory: or postgres://USER@HOST/DATABASE, got \"redis://***@host\": no adapter in this program registers the scheme `redis:`\n",
        ),
        (
            "[handlers.talk]\nqueue = \"x\"\n",
            "error: pulpo.toml:2: `handlers.talk.queue` cannot be configured: programs without this configuration would",
        ),
        (
            "[handlers.pay]\nmax_atempts = 1\n",
            "`handlers.pay.max_atempts`; did you mean `handlers.pay.max_attempts`?\n",
        ),
    ] {
        let said = refused(Some(("pulpo.toml", text)), None);
        assert!(said.contains(expected), "{text}: {said}");
    }
    let said = refused(Some(("pulpo.json", "{\n\"sleep_duration\": \"1s\",\n}")), None);
    assert!(said.starts_with("error: pulpo.json:3: the configuration file is wrong: "), "{said}");
    let said = refused(Some(("pulpo.json", "{\n\"handlers\": {\"pay\": {\n\"batch\": 0\n}}}")), None);
    assert!(
        said.starts_with("error: pulpo.json:3: expected `handlers.pay.batch` to be a whole number from 1 to "),
        "{said}"
    );
}

#[test]
fn a_table_of_a_handler_or_a_queue_that_is_not_there_is_refused() {
    let work = |text: &str| {
        let place = Sandbox::new();
        std::fs::write(place.path("pulpo.toml"), text).expect("written");
        let said = place.run(WORKER, &["work"]);
        assert_eq!(said.code, 1, "{}", said.err);
        let checked = place.run(WORKER, &["check"]);
        assert_eq!(checked.code, 1, "{}", checked.out);
        assert!(said.err.contains(checked.out.trim_end()), "{} {}", said.err, checked.out);
        // A program that only publishes does not need them.
        assert_eq!(place.run(WORKER, &["publish", "talk", "--body", "\"x\""]).code, 0);
        said.err
    };
    let said = work("[handlers.tlak]\nttr = 5\n");
    assert!(said.contains("pulpo.toml:2: `handlers.tlak`: there is no handler `tlak`; did you mean `talk`?"), "{said}");
    let said = work("[queues.note]\nconcurrency = 5\n");
    assert!(
        said.contains("pulpo.toml:2: `queues.note`: no handler has the queue `note`; did you mean `notes`?"),
        "{said}"
    );
    let said = work("[handlers.talk]\nbatch = 5\n");
    assert!(said.contains("pulpo.toml:2: `handlers.talk` has no `batch` in its attribute"), "{said}");
    let said = work("[queues]\npulpo.enabled = false\nnotes.enabled = false\n");
    assert!(said.contains("no queue is left to work"), "{said}");
}

#[test]
fn a_mistake_in_the_environment_is_reported_with_its_variable() {
    let said = refused(None, Some(("PULPO_HANDLERS__TALK__QUEUE", "x")));
    assert!(
        said.starts_with("error: PULPO_HANDLERS__TALK__QUEUE: `handlers.talk.queue` cannot be configured: "),
        "{said}"
    );
    let said = refused(None, Some(("PULPO_HANDLERS__TALK__TIMEOUT", "soon")));
    assert!(
        said.starts_with("error: PULPO_HANDLERS__TALK__TIMEOUT: expected `handlers.talk.timeout` to be a dur"),
        "{said}"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_reported_with_the_reason() {
    let place = Sandbox::new();
    let error = |file: &str| {
        let said = place.run(WORKER, &["work", "--config", file]);
        assert_eq!(said.code, 1);
        said.err
    };
    assert!(error("none.toml").starts_with("error: cannot read the configuration file none.toml: No such file"));
    std::fs::create_dir(place.path("folder.toml")).expect("made");
    assert!(error("folder.toml").starts_with("error: cannot read the configuration file folder.toml: Is a dir"));
    assert_eq!(error("pulpo.ini"), "error: expected a configuration file that ends in .toml or .json, got pulpo.ini\n");
}

/// Returns how long a worker without jobs waits.
fn idle_for(place: &Sandbox, settings: &[&str]) -> Duration {
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    let arguments: Vec<_> = ["work", "--concurrency", "1"].into_iter().chain(settings).collect();
    let started = Instant::now();
    let said = place.run(WORKER, &arguments);
    assert_eq!(said.code, 0, "{}", said.err);
    started.elapsed()
}

#[test]
fn a_worker_ends_after_the_set_number_of_waits() {
    for place in [Sandbox::new(), Sandbox::with_beanstalkd()] {
        let twice = idle_for(&place, &["sleep_duration=400ms", "shutdown_after_number_of_empty_iterations=2"]);
        assert!(twice >= Duration::from_millis(800), "{twice:?}");
        // Most of it is the start of the program, which may take long now and then.
        let once = || idle_for(&place, &["sleep_duration=0.01", "shutdown_after_number_of_empty_iterations=1"]);
        assert!((0..20).any(|_| once() < twice), "{twice:?}");
    }
}

#[test]
fn a_server_is_asked_to_wait_for_as_long_as_is_configured() {
    let asked = |reserve_timeout: &str| {
        let place = Sandbox::with_beanstalkd();
        let timeout = format!("beanstalkd_queue_adapter.reserve_timeout={reserve_timeout}");
        idle_for(&place, &["sleep_duration=3s", "shutdown_after_number_of_empty_iterations=1", &timeout]);
        let mut server = std::net::TcpStream::connect(place.server_address()).expect("a server");
        server.write_all(b"stats\r\nquit\r\n").expect("written");
        let mut answer = String::new();
        server.read_to_string(&mut answer).expect("an answer");
        let line = answer.lines().find_map(|line| line.strip_prefix("cmd-reserve-with-timeout: ")).expect("a count");
        line.parse::<u64>().expect("a number")
    };
    // In the last part of a wait, which is less than a second, the queue is polled again and again; with 50ms, this is
    // always so. A machine that is busy with other things polls less often now and then.
    let mut counts = Vec::new();
    while counts.iter().all(|(seldom, often)| often * 2 <= seldom * 3) {
        assert!(counts.len() < 5, "{counts:?}");
        counts.push((asked("1s"), asked("50ms")));
    }
}

//! Files and folders that are not a queue: each is refused with its path, and left unchanged.

use pulpo_tests::program::Sandbox;

const WORKER: &str = env!("CARGO_BIN_EXE_worker");

#[track_caller]
fn refused(place: &Sandbox, queue: &str) -> String {
    let arguments = ["publish", "echo", "--payload", "x", "--set", &format!("queue=file:{queue}")];
    let said = place.run(WORKER, &arguments);
    assert_eq!((said.code, said.out.as_str()), (1, ""), "{}", said.err);
    said.err
}

#[test]
fn a_file_that_is_not_a_database() {
    let place = Sandbox::new();
    std::fs::create_dir(place.path("q")).expect("made");
    let text = "not a database ".repeat(500);
    std::fs::write(place.path("q/queue.db"), &text).expect("written");
    let error = refused(&place, "q");
    assert_eq!(
        error,
        format!(
            "error: {}/q/queue.db is not a pulpo queue: a file that is not an SQLite database; \
             name another place in PULPO_QUEUE or move this one away\n",
            std::fs::canonicalize(place.folder()).expect("a folder").display()
        )
    );
    assert_eq!(std::fs::read_to_string(place.path("q/queue.db")).expect("there"), text);
}

#[test]
fn a_database_of_a_newer_pulpo() {
    let place = Sandbox::new();
    assert_eq!(place.run(WORKER, &["publish", "echo", "--payload", "x"]).code, 0);
    let file = place.path("pulpo-data/queue.db");
    let newer = rusqlite::Connection::open(&file).expect("opened");
    newer.pragma_update(None, "user_version", 1000).expect("set");
    drop(newer);
    let before = std::fs::read(&file).expect("there");
    let said = place.run(WORKER, &["work"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("was written by a newer pulpo (schema 1000, this one knows up to "), "{}", said.err);
    assert_eq!(std::fs::read(&file).expect("there"), before);
}

#[test]
fn a_folder_that_cannot_be_made_or_written() {
    let place = Sandbox::new();
    std::fs::write(place.path("file"), "").expect("written");
    let file = std::fs::canonicalize(place.path("file")).expect("a file");
    let expected = format!("error: cannot create the folder {}/q: ", file.display());
    assert!(refused(&place, "file/q").starts_with(&expected));
    // Read-only even for root.
    assert!(refused(&place, "/proc/pulpo").starts_with("error: cannot create the folder /proc/pulpo: "));
    assert!(refused(&place, "/proc/self").starts_with("error: cannot create the file /proc/self/queue.db: "));
}

#[test]
fn a_disk_that_is_full() {
    let place = Sandbox::new();
    assert_eq!(place.run(WORKER, &["publish", "echo", "--payload", "first"]).code, 0);
    // A file size limit of 64 blocks of 1 KiB simulates a full disk. The signal that comes with it
    // is ignored.
    let arguments = format!(
        "trap '' XFSZ; ulimit -f 64; exec {WORKER} publish echo --count 5000 --payload \"$(printf '%0200d' 0)\""
    );
    let said = place.run("bash", &["-c", &arguments]);
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(said.err.contains("error: the queue did not accept the message: cannot write to "), "{}", said.err);
    // The queue holds its earlier messages, and only whole batches in addition.
    let list = place.run(WORKER, &["list", "--limit", "0", "--json"]);
    let list: serde_json::Value = serde_json::from_str(&list.out).expect("JSON");
    let kept = list.as_array().expect("a list").len();
    assert!(kept % 1000 == 1, "{kept}");
    assert_eq!(place.run(WORKER, &["publish", "echo", "--payload", "room again"]).code, 0);
}

#[test]
fn a_program_without_handlers_says_why_it_does_not_start() {
    let error = pulpo::Registry::of([]).expect_err("refused");
    let text = error.to_string();
    assert!(text.starts_with("this program has no handlers: expected at least one"), "{text}");
    assert!(text.contains("pulpo::main! { crates: [my_jobs] }"), "{text}");
}

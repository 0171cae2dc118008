//! The folder of the embedded queue: its users and permissions, and the files that a program needs
//! outside it.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use pulpo_tests::program::{CommandOutput, Sandbox};
use pulpo_tests::wait::until;

const WORKER: &str = env!("CARGO_BIN_EXE_worker");

/// Two users, and their common group.
const WEB: u32 = 61_001;
const JOBS: u32 = 61_002;
const GROUP: u32 = 61_000;

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|us| std::os::unix::fs::MetadataExt::uid(&us) == 0)
}

/// A folder that the group may use, with a copy of the worker in it, because the users may have no
/// access to the build folder.
struct Shared {
    place: Sandbox,
    worker: String,
}

impl Shared {
    fn new(mode: u32) -> Self {
        assert!(is_root(), "this test starts programs as other users: run it as root");
        let place = Sandbox::new();
        let worker = place.path("worker").display().to_string();
        std::fs::copy(WORKER, &worker).expect("copied");
        std::fs::set_permissions(&worker, std::fs::Permissions::from_mode(0o755)).expect("set");
        std::fs::write(place.path("record"), "").expect("made");
        std::fs::set_permissions(place.path("record"), std::fs::Permissions::from_mode(0o666)).expect("set");
        std::fs::set_permissions(place.folder(), std::fs::Permissions::from_mode(0o755)).expect("set");
        let queue = place.path("queue");
        std::fs::create_dir(&queue).expect("made");
        chown(&queue, Some(WEB), Some(GROUP)).expect("given");
        std::fs::set_permissions(&queue, std::fs::Permissions::from_mode(mode)).expect("set");
        Self { place, worker }
    }

    /// Returns a command run as this user, with the most restrictive umask.
    fn command(&self, user: u32, arguments: &[&str]) -> Command {
        let line = format!("umask 077; exec {} \"$@\"", self.worker);
        let mut command = self.place.command("sh", &[&["-c", &line, "worker"], arguments].concat());
        command.uid(user).gid(GROUP).env("PULPO_QUEUE", "file:queue").env("HOME", "/");
        command
    }

    fn run(&self, user: u32, arguments: &[&str]) -> CommandOutput {
        CommandOutput::of(self.command(user, arguments))
    }
}

#[test]
fn two_users_of_one_group_share_a_queue_in_a_setgid_folder() {
    let shared = Shared::new(0o2770);
    // Each user is the first to create a file there.
    assert_eq!(shared.run(WEB, &["publish", "echo", "--payload", "first"]).err, "");
    let worker = shared.place.start(shared.command(JOBS, &["work", "--set", "sleep_duration=1h"]));
    until("the first job has run", || shared.place.record().contains("first"));
    let said = shared.run(WEB, &["publish", "echo", "--payload", "second"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    until("the second job has run", || shared.place.record().contains("second"));
    // Each user notices that the other's worker has died.
    assert_eq!(shared.run(WEB, &["publish", "nap", "--body", "600000"]).code, 0);
    until("it sleeps", || shared.place.record().contains("asleep"));
    let other = shared.place.start(shared.command(WEB, &["work"]));
    worker.signal("KILL");
    until("it runs again", || shared.place.record().matches("asleep").count() == 2);
    drop(worker);
    drop(other);
    assert!(!shared.place.log().contains("cannot"), "{}", shared.place.log());
    assert_eq!(shared.run(JOBS, &["list", "--json"]).code, 0);
    let left = shared.run(JOBS, &["purge", "pulpo", "--yes"]);
    assert_eq!(left.code, 0, "{}", left.err);
}

#[test]
fn a_user_who_may_not_use_the_queue_learns_what_is_needed() {
    // Without setgid, each file belongs to its user alone.
    let shared = Shared::new(0o770);
    assert_eq!(shared.run(WEB, &["publish", "echo", "--payload", "first"]).code, 0);
    for arguments in [&["publish", "echo", "--payload", "x"][..], &["stats"], &["work"]] {
        let said = shared.run(JOBS, arguments);
        assert_eq!(said.code, 1, "{arguments:?}");
        assert!(said.err.contains("cannot open ") && said.err.contains("queue/queue.db"), "{}", said.err);
        assert!(
            said.err.contains("users of one group share a queue in a folder that is theirs, `chmod g+rwxs`"),
            "{}",
            said.err
        );
        assert!(!said.err.contains("cannot make"), "it is there: {}", said.err);
    }
    // A user who may not even look into the folder.
    std::fs::set_permissions(shared.place.path("queue"), std::fs::Permissions::from_mode(0o700)).expect("set");
    let said = shared.run(JOBS, &["stats"]);
    assert!(
        said.code == 1 && said.err.contains("Permission denied") && !said.err.contains("cannot make"),
        "{}",
        said.err
    );
}

/// Returns the files that a command opened below this folder, or with SQLite's name for temporary ones.
fn opened(place: &Sandbox, arguments: &[&str], environment: &[(&str, &Path)]) -> String {
    let trace = place.path("trace");
    let path = trace.display().to_string();
    let traced = ["-f", "-e", "trace=openat,open,creat", "-o", &path, WORKER];
    let mut command = place.command("strace", &[&traced, arguments].concat());
    command.envs(environment.iter().copied());
    let said = CommandOutput::of(command);
    assert_eq!(said.code, 0, "{}", said.err);
    std::fs::read_to_string(&trace).expect("a trace")
}

#[test]
fn no_command_on_a_long_queue_needs_a_folder_for_temporary_files() {
    let place = Sandbox::new();
    let folder = place.path("pulpo-data");
    let clock = std::sync::Arc::new(pulpo::clock::SystemClock::new());
    let queue = pulpo::queue::file::FileQueue::open(&folder, false, clock).expect("a queue");
    // Many long types, so that a table of counts and its sorting outgrow any cache.
    for part in 0..65 {
        let new = |n| {
            let name = format!("type-{n:0>60}");
            pulpo::queue::NewMessage::new("pulpo", name, "{}")
        };
        let messages = (0..1000).map(|n| new(part * 1000 + n)).collect();
        pulpo::queue::QueueAdapter::enqueue(&queue, messages).expect("published");
    }
    drop(queue);
    let missing = place.path("missing");
    let environment = [("SQLITE_TMPDIR", &*missing), ("TMPDIR", &missing), ("TMP", &missing), ("TEMP", &missing)];
    let commands: [&[&str]; 5] = [
        &["stats", "--json"],
        &["list", "--limit", "0", "--json"],
        &["backup", "copy.db"],
        &["delete", "--type", "type-1", "--yes"],
        &["purge", "pulpo", "--yes"],
    ];
    for arguments in commands {
        let opened = opened(&place, arguments, &environment);
        assert!(opened.contains("queue.db"), "it was traced");
        // SQLite opens its temporary files without a name, or with this one.
        let is_temporary = |line: &&str| line.contains("O_TMPFILE") || line.contains("etilqs_");
        let temporary: Vec<_> = opened.lines().filter(is_temporary).collect();
        assert_eq!(temporary, [""; 0], "{arguments:?}");
    }
}

#[test]
fn a_folder_whose_name_is_not_utf_8_is_worked_as_it_is() {
    let place = Sandbox::new();
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9");
    let inside = place.folder().join(name);
    std::fs::create_dir(&inside).expect("made");
    // The queue by a relative path, in a folder of such a name.
    let run = |arguments: &[&str]| {
        let mut command = place.command(WORKER, arguments);
        command.current_dir(&inside);
        CommandOutput::of(command)
    };
    assert_eq!(run(&["publish", "echo", "--payload", "hello"]).err, "");
    let said = run(&["work", "--set", "shutdown_after_number_of_empty_iterations=1", "--set", "sleep_duration=10ms"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(place.record().contains("hello"));
    let said = run(&["backup", "copy.db"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(inside.join("copy.db").is_file() && inside.join("pulpo-data/queue.db").is_file());
    let folders = std::fs::read_dir(place.folder()).expect("a folder").flatten().filter(|entry| entry.path().is_dir());
    assert_eq!(folders.count(), 1, "no other folder was made");
}

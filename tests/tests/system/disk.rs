//! A disk that is full, read-only or limited: `publish` reports it, the worker waits, and both
//! continue when they can.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use pulpo_tests::beanstalkd::{Options, free_port};
use pulpo_tests::program::{Running, Sandbox};
use pulpo_tests::wait::until;

const WORKER: &str = env!("CARGO_BIN_EXE_worker");

/// How the disk is limited.
#[derive(Clone, Copy, Debug)]
enum Limit {
    /// A separate file system of two megabytes in memory. Any user can mount it in their own namespace.
    Mount,
    /// A limit on the size of files, which any user can set and lift.
    FileSize,
}

/// A shell with a queue on a small disk. It executes the commands written into its pipe, one per
/// line, and answers each with its exit code.
struct SmallDisk {
    place: Sandbox,
    shell: Child,
    codes: BufReader<ChildStdout>,
}

impl SmallDisk {
    fn new(limit: Limit) -> Self {
        let place = Sandbox::new();
        fs::create_dir(place.path("pulpo-data")).expect("made");
        // The codes go through a pipe, which no limit stops.
        let script = r#"exec 2>>log; while IFS= read -r line; do eval "$line"; echo $?; done"#;
        let mut command = match limit {
            Limit::Mount => {
                let script = format!("mount -t tmpfs -o size=2m,mode=700 none pulpo-data; {script}");
                place.command("unshare", &["--mount", "--map-root-user", "bash", "-c", &script])
            }
            Limit::FileSize => place.command("bash", &["-c", script]),
        };
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).env("WORKER", WORKER);
        let mut shell = command.spawn().expect("started");
        let codes = BufReader::new(shell.stdout.take().expect("a pipe"));
        let mut disk = Self { place, shell, codes };
        // Exceeding the limit raises a signal, which ends any process that does not ignore it. If
        // it is ignored, SQLite sees an error.
        assert_eq!(disk.say("trap '' XFSZ"), 0);
        disk
    }

    fn can_mount() -> bool {
        let mount = "mount -t tmpfs -o size=1m none /mnt";
        let tried = Command::new("unshare").args(["--mount", "--map-root-user", "sh", "-c", mount]).output();
        tried.is_ok_and(|tried| tried.status.success())
    }

    /// Runs a line that prints nothing. Returns its exit code.
    fn say(&mut self, line: &str) -> i32 {
        let pipe = self.shell.stdin.as_mut().expect("a pipe");
        pipe.write_all(format!("{line}\n").as_bytes()).expect("heard");
        let mut code = String::new();
        self.codes.read_line(&mut code).expect("an answer");
        code.trim().parse().unwrap_or_else(|_| panic!("{line}: {code}"))
    }

    fn ran(&self, number: usize) -> bool {
        self.place.record().contains(&format!(" {number} 0 false\n"))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The shell ends with its pipe, but first its worker.
        if let Some(mut pipe) = self.shell.stdin.take() {
            let _ = pipe.write_all(b"kill -KILL $(jobs -p)\n");
        }
        let _ = self.shell.wait();
    }
}

/// Publishes a job with this many bytes, which no handler reads.
fn publish(number: usize, bytes: usize) -> String {
    format!(
        r#"pad=$(printf '%0{bytes}d' 0); $WORKER publish record --body '{{"number":{number},"pad":"'$pad'"}}' >>published"#
    )
}

/// Starts a worker on the small disk, and a job that keeps it busy.
fn busy_worker(disk: &mut SmallDisk) {
    assert_eq!(disk.say(&publish(0, 10)), 0);
    let worker =
        "PULPO_SLEEP_DURATION=50ms PULPO_FILE_QUEUE_ADAPTER__ENABLE_ARCHIVE=true $WORKER work --concurrency 2 &";
    assert_eq!(disk.say(worker), 0);
    until("the first has run", || disk.ran(0));
    assert_eq!(disk.say("$WORKER publish nap --body 8000 >>published"), 0);
    until("it has begun", || disk.place.record().contains("asleep"));
}

/// Checks that all published jobs run once, and that the file is intact.
fn nothing_is_lost(disk: &mut SmallDisk, published: &[usize], refused: &[usize]) {
    until("all that was published has run", || published.iter().all(|number| disk.ran(*number)));
    until("nothing is left", || disk.say("$WORKER list | grep -q 'no messages'") == 0);
    for number in refused {
        assert!(!disk.ran(*number), "{number} was refused, and ran");
    }
    let log = disk.place.log();
    for said in ["cannot take messages", "cannot settle a message", "cannot renew the lease"] {
        assert!(log.matches(said).count() <= 1, "{said} is logged once: {log}");
    }
    assert_eq!(disk.place.record().matches("asleep").count(), 1, "its lease was spared: {log}");
    assert_eq!(disk.say("kill -TERM %1; wait %1"), 0);
    assert_eq!(disk.say("cp pulpo-data/queue.db* ."), 0);
    let copy = rusqlite::Connection::open(disk.place.path("queue.db")).expect("opened");
    let one = |query: &str| copy.query_row(query, [], |row| row.get::<_, String>(0)).expect("an answer");
    assert_eq!(one("PRAGMA integrity_check"), "ok");
    // Includes the first job and the nap, once each.
    let archived = format!("{0} {0}", published.len() + 2);
    assert_eq!(one("SELECT count(*) || ' ' || count(DISTINCT id) FROM archive"), archived);
}

#[test]
fn a_full_disk_is_reported_and_the_queue_is_still_worked_off() {
    if !SmallDisk::can_mount() {
        // Bypass the output capture of the tests: people must see it.
        let said = b"NOT SHOWN: no small disk can be mounted here; the limit on files stands for it\n";
        std::io::stderr().write_all(said).expect("said");
        return;
    }
    let mut disk = SmallDisk::new(Limit::Mount);
    busy_worker(&mut disk);
    // Fill the disk completely, to the byte that `head` cannot write.
    disk.say("head -c 100m /dev/zero > pulpo-data/ballast");
    let (mut published, mut refused) = (Vec::new(), Vec::new());
    for number in 1..=6 {
        let done = disk.say(&publish(number, if number % 2 == 0 { 100_000 } else { 10 })) == 0;
        if done { &mut published } else { &mut refused }.push(number);
    }
    // The big ones do not fit. The small ones may fit into free space in the queue's files, and so
    // may the worker's writes.
    assert_eq!(refused.iter().filter(|number| *number % 2 == 0).count(), 3, "{refused:?}");
    let folder = fs::canonicalize(disk.place.folder()).expect("a folder");
    let what = format!(
        "error: the queue did not accept the message: cannot write to {}/pulpo-data/queue.db: no space is left; \
         free some, nothing that was published is lost",
        folder.display()
    );
    assert_eq!(disk.place.log().matches(&what).count(), refused.len(), "{}", disk.place.log());
    until("the job has ended", || disk.place.record().contains("awake"));

    assert_eq!(disk.say("rm pulpo-data/ballast"), 0);
    assert_eq!(disk.say(&publish(7, 100_000)), 0);
    published.push(7);
    nothing_is_lost(&mut disk, &published, &refused);
}

#[test]
fn a_worker_that_cannot_write_waits_and_settles_later_what_it_has_done() {
    let mut disk = SmallDisk::new(Limit::FileSize);
    busy_worker(&mut disk);
    // Neither the worker nor later processes can write any more.
    let limit = |bytes: &str| format!("for id in $(jobs -p) $$; do prlimit --pid $id --fsize={bytes}:unlimited; done");
    assert_eq!(disk.say(&limit("4096")), 0);
    let refused = disk.place.path("refused");
    assert_ne!(disk.say("$WORKER publish record --body '{\"number\":1}' 2>refused"), 0);
    let said = fs::read_to_string(&refused).expect("said");
    assert!(said.starts_with("error: "), "{said}");
    assert!(said.contains("pulpo-data/queue.db: disk I/O error") && said.contains("`ulimit -f`"), "{said}");
    until("the worker says so", || disk.place.log().contains("cannot take messages, retrying"));
    until("the job has ended", || disk.place.record().contains("awake"));
    until("its end cannot be written", || disk.place.log().contains("cannot settle a message, trying again"));
    assert_eq!(disk.say(&limit("unlimited")), 0);
    until("it goes on", || disk.place.log().contains("the queue is back"));
    assert_eq!(disk.say(&publish(2, 10)), 0);
    nothing_is_lost(&mut disk, &[2], &[1]);
}

/// No server is there either.
#[test]
fn a_spool_on_a_full_disk_says_so_and_keeps_what_it_took() {
    let limit = if SmallDisk::can_mount() { Limit::Mount } else { Limit::FileSize };
    let mut disk = SmallDisk::new(limit);
    let port = free_port();
    let queue = format!("export PULPO_QUEUE=beanstalkd://127.0.0.1:{port} PULPO_SPOOL=file:./pulpo-data");
    assert_eq!(disk.say(&queue), 0);
    assert_eq!(disk.say(&publish(1, 10)), 0, "{}", disk.place.log());
    let (fill, free) = match limit {
        Limit::Mount => ("head -c 100m /dev/zero > pulpo-data/ballast; true", "rm pulpo-data/ballast"),
        Limit::FileSize => ("prlimit --pid $$ --fsize=4096:unlimited", "prlimit --pid $$ --fsize=unlimited:unlimited"),
    };
    assert_eq!(disk.say(fill), 0);
    // It does not fit.
    assert_eq!(disk.say(&publish(2, 100_000)), 1);
    let log = disk.place.log();
    assert!(log.contains("cannot keep the publication in the spool"), "{log}");
    assert!(log.contains("older messages wait there") || log.contains("Connection refused"), "{log}");
    assert!(log.contains("no space is left") || log.contains("disk I/O error"), "{log}");
    assert_eq!(disk.say(free), 0);
    let _server = Options::new().port(port).start();
    assert_eq!(disk.say(&publish(3, 10)), 0, "{}", disk.place.log());
    assert_eq!(disk.say("$WORKER work --concurrency 1 &"), 0);
    until("both have run", || disk.ran(1) && disk.ran(3));
    assert!(!disk.ran(2), "it was refused");
    assert_eq!(disk.say("kill -TERM %1; wait %1"), 0);
}

/// Runs a program that is bound by file permissions, even as root.
fn bound(place: &Sandbox, arguments: &[&str]) -> pulpo_tests::program::CommandOutput {
    let root = fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    if !root {
        return place.run(WORKER, arguments);
    }
    let without = ["--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all", WORKER];
    place.run("setpriv", &[&without, arguments].concat())
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
}

#[test]
fn a_read_only_file_or_folder_is_named_with_the_access_it_needs() {
    let place = Sandbox::new();
    assert_eq!(place.run(WORKER, &["publish", "echo", "--payload", "x"]).code, 0);
    let (folder, file) = (place.path("pulpo-data"), place.path("pulpo-data/queue.db"));
    for (path, mode, usual) in [(&file, 0o400, 0o600), (&folder, 0o500, 0o700), (&file, 0, 0o600)] {
        set_mode(path, mode);
        for arguments in [&["publish", "echo", "--payload", "y"][..], &["work"]] {
            let said = bound(&place, arguments);
            assert_eq!(said.code, 1, "{mode:o} {arguments:?} {}", said.err);
            assert!(said.err.contains("pulpo-data/queue."), "{}", said.err);
            let advice = said.err.contains("this user needs to read and write the file and its folder");
            assert!(advice || said.err.contains("Permission denied"), "{}", said.err);
        }
        set_mode(path, usual);
    }
    assert_eq!(bound(&place, &["publish", "echo", "--payload", "z"]).code, 0);
    assert_eq!(place.run(WORKER, &["list"]).out.lines().count(), 3, "the refused ones are not there");
}

#[test]
fn files_are_private_whatever_the_umask() {
    use std::os::unix::fs::PermissionsExt as _;
    for umask in ["000", "022", "077"] {
        let place = Sandbox::new();
        let script = format!("umask {umask}; exec {WORKER} work --set queue=file:a/b");
        let worker: Running = place.start(place.command("bash", &["-c", &script]));
        let publish = format!("umask {umask}; exec {WORKER} publish echo --payload x --set queue=file:a/b");
        assert_eq!(place.run("bash", &["-c", &publish]).code, 0);
        until("it has run", || place.record().contains(" x\n"));
        let mode = |name: &str| fs::metadata(place.path(name)).expect(name).permissions().mode() & 0o7777;
        for name in ["queue.db", "queue.db-wal", "queue.db-shm", "notify/pulpo"] {
            assert_eq!(mode(&format!("a/b/{name}")), 0o600, "{name} with umask {umask}");
        }
        assert_eq!((mode("a"), mode("a/b")), (0o700, 0o700), "with umask {umask}");
        worker.signal("TERM");
        assert_eq!(worker.end(), 0);
    }
}

use notify::Event;
use notify::event::{Flag, ModifyKind, RemoveKind};

use super::*;

/// Returns how many notifications a signal has had.
struct Listening {
    files: NotifyFiles,
    signal: Arc<Notify>,
    maintenance: Arc<Maintenance>,
}

impl Listening {
    fn in_folder(base_path: &Path) -> Self {
        if base_path.is_dir() {
            fs::write(base_path.join("queue.db"), "").expect("written");
        }
        let signal = Notify::new(Arc::new(SystemClock::new()));
        Self { files: NotifyFiles::new(base_path), signal, maintenance: Arc::default() }
    }

    fn listen(&self, queues: &[&str]) -> u64 {
        let queues: Vec<_> = queues.iter().map(|&queue| queue.to_owned()).collect();
        self.files.listen(&queues, &self.signal, &self.maintenance);
        self.signal.generation()
    }

    fn heard_after(&self, seen: u64) -> bool {
        self.signal.wait(seen, Some(Duration::from_secs(30)));
        self.signal.generation() > seen
    }
}

#[test]
fn only_the_queue_that_is_meant_is_woken() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mail, reports) = (Listening::in_folder(folder.path()), Listening::in_folder(folder.path()));
    let publisher = NotifyFiles::new(folder.path());
    publisher.notify("mail");
    assert!(!folder.path().join(FOLDER).exists(), "no file is made while no process waits");
    let (seen_mail, seen_reports) = (mail.listen(&["mail"]), reports.listen(&["reports", "../évil name"]));
    for _ in 0..3 {
        publisher.notify("mail");
    }
    assert!(mail.heard_after(seen_mail));
    assert_eq!(reports.signal.generation(), seen_reports);
    publisher.notify("../évil name");
    assert!(reports.heard_after(seen_reports));
    let names = fs::read_dir(folder.path().join(FOLDER)).expect("a folder").count();
    assert_eq!(names, 3);
}

#[cfg(target_os = "linux")]
#[test]
fn files_of_others_in_the_folder_are_neither_followed_nor_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let outside = folder.path().join("outside");
    fs::write(&outside, "precious").expect("written");
    let notify = folder.path().join("queue/notify");
    fs::create_dir_all(&notify).expect("made");
    std::os::unix::fs::symlink(&outside, notify.join("linked")).expect("linked");
    std::os::unix::fs::symlink(folder.path().join("missing"), notify.join("dangling")).expect("linked");
    fs::write(notify.join("notes"), "precious").expect("written");
    fs::create_dir(notify.join("folder")).expect("made");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        notify.join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .expect("made");
    let publisher = NotifyFiles::new(&folder.path().join("queue"));
    for queue in ["linked", "dangling", "notes", "folder", "pipe"] {
        publisher.notify(queue);
        Listening::in_folder(&folder.path().join("queue")).listen(&[queue]);
        publisher.notify(queue);
    }
    assert_eq!(fs::read_to_string(&outside).expect("there"), "precious");
    assert_eq!(fs::read_to_string(notify.join("notes")).expect("there"), "precious");
    assert!(!folder.path().join("missing").exists());
}

#[test]
fn a_folder_may_have_any_name() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["workers", "notify", "running"] {
        let base_path = folder.path().join(name);
        fs::create_dir(&base_path).expect("made");
        let waiting = Listening::in_folder(&base_path);
        let seen = waiting.listen(&["pulpo"]);
        NotifyFiles::new(&base_path).notify("pulpo");
        assert!(waiting.heard_after(seen), "{name}");
    }
}

#[test]
fn a_file_that_is_taken_away_is_made_and_watched_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let waiting = Listening::in_folder(folder.path());
    let seen = waiting.listen(&["pulpo"]);
    fs::remove_dir_all(folder.path().join(FOLDER)).expect("removed");
    assert!(waiting.heard_after(seen), "it looks again");
    let seen = waiting.listen(&["pulpo"]);
    NotifyFiles::new(folder.path()).notify("pulpo");
    assert!(waiting.heard_after(seen));
}

#[test]
fn a_watch_that_failed_is_tried_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let base_path = folder.path().join("later");
    fs::write(&base_path, "not a folder").expect("written");
    let waiting = Listening::in_folder(&base_path);
    waiting.listen(&["pulpo"]);
    assert!(lock(&waiting.files.listener).retry_at.is_some());
    fs::remove_file(&base_path).expect("removed");
    fs::create_dir(&base_path).expect("made");
    fs::write(base_path.join("queue.db"), "").expect("written");
    waiting.listen(&["pulpo"]);
    assert!(!base_path.join(FOLDER).exists(), "not at each wait");
    lock(&waiting.files.listener).retry_at = Some(Duration::ZERO);
    let before = waiting.signal.generation();
    let seen = waiting.listen(&["pulpo"]);
    assert!(seen > before, "there may have been notifications");
    NotifyFiles::new(&base_path).notify("pulpo");
    assert!(waiting.heard_after(seen));
}

#[test]
fn after_an_overflow_everything_is_looked_at() {
    let workers = Path::new("/q/workers");
    let of = |event| react(&Ok(event), workers);
    let at = |kind, path: &str| of(Event::new(kind).add_path(path.into()));
    let modified = EventKind::Modify(ModifyKind::Any);
    let removed = EventKind::Remove(RemoveKind::File);
    let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
    assert_eq!(of(Event::new(EventKind::Other).set_flag(Flag::Rescan)), Reaction::Both);
    assert_eq!(of(Event::new(modified).set_flag(Flag::Rescan)), Reaction::Both);
    assert_eq!(of(Event::new(EventKind::Any)), Reaction::Both);
    assert_eq!(react(&Err(notify::Error::generic("no")), workers), Reaction::Both);
    assert_eq!(at(modified, "/q/notify/mail"), Reaction::Notify);
    assert_eq!(at(removed, "/q/notify/mail"), Reaction::Notify);
    assert_eq!(at(closed, "/q/notify/mail"), Reaction::Nothing);
    assert_eq!(at(closed, "/q/workers/0000000000000001"), Reaction::ScanDeadProcesses);
    assert_eq!(at(removed, "/q/workers/0000000000000001"), Reaction::ScanDeadProcesses);
    assert_eq!(at(modified, "/q/workers/0000000000000001"), Reaction::Nothing);
    assert_eq!(at(modified, "/workers/q/notify/mail"), Reaction::Notify, "whole paths are compared");
}

//! The dashboard within a web service, under a path and behind a login.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use pulpo_tests::program::Sandbox;
use pulpo_tests::wait::{until, within};

const PROGRAM: &str = env!("CARGO_BIN_EXE_admin_pages");

const DASHBOARD: &str = "/admin/jobs";

/// The service, killed on drop.
struct Service {
    child: Child,
    address: String,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

impl Service {
    fn start(place: &Sandbox) -> Self {
        let mut command: Command = place.command(PROGRAM, &[]);
        command.env("PORT", "0").env("ADMIN_PASSWORD", "tea time").env("PULPO_SLEEP_DURATION", "50ms");
        let mut child = command.stdout(Stdio::piped()).spawn().expect("started");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("a line");
        let address = line.trim_end().strip_prefix("listening on http://").expect("its address").to_owned();
        Self { child, address }
    }

    fn send(&self, method: &str, path: &str, session: &str, form: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: {0}\r\norigin: http://{0}\r\nconnection: close\r\ncookie: {session}\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {1}\r\n\r\n{form}",
            self.address,
            form.len()
        )
        .expect("sent");
        stream
    }

    fn ask(&self, method: &str, path: &str, session: &str, form: &str) -> Answer {
        let mut answer = String::new();
        self.send(method, path, session, form).read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    fn log_in(&self) -> String {
        assert_eq!(self.ask("POST", "/login", "", "password=coffee").status, 401);
        let answer = self.ask("POST", "/login", "", "password=tea+time");
        assert_eq!((answer.status, answer.header("location")), (303, Some(DASHBOARD)));
        let cookie = answer.header("set-cookie").expect("a session");
        cookie.split(';').next().expect("name and value").to_owned()
    }

    fn page(&self, path: &str, session: &str) -> String {
        let answer = self.ask("GET", path, session, "");
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body
    }

    /// Submits a form of a page of the dashboard.
    fn post(&self, path: &str, session: &str, fields: &str) -> Answer {
        let page = self.page(&format!("{DASHBOARD}/queues"), session);
        let csrf = page.split("name=\"csrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a form");
        self.ask("POST", path, session, &format!("csrf={csrf}&{fields}"))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the addresses that a page links to or loads.
fn addresses(page: &str) -> Vec<String> {
    let parts = ["href=\"", "action=\"", "src=\"", "data-events=\""];
    let found = parts.into_iter().flat_map(|part| page.split(part).skip(1).filter_map(|rest| rest.split('"').next()));
    found
        .map(|address| address.replace("&amp;", "&"))
        .filter(|address| !address.is_empty() && !address.starts_with('#'))
        .collect()
}

#[test]
fn every_page_and_change_stays_below_its_path_and_behind_the_login() {
    let place = Sandbox::new();
    let service = Service::start(&place);
    for item in ["tea", "sand", "stones"] {
        assert_eq!(service.ask("POST", "/orders", "", &format!("item={item}")).status, 202);
    }
    let session = service.log_in();
    let buried = format!("{DASHBOARD}/jobs?state=buried");
    until("two orders cannot be packed", || service.page(&buried, &session).matches("no shelf holds").count() == 2);

    // Every page that another page links to.
    let mut waiting = vec![DASHBOARD.to_owned()];
    let mut seen = BTreeSet::new();
    let mut forms = BTreeSet::new();
    while let Some(path) = waiting.pop() {
        if seen.len() >= 60 || !seen.insert(path.clone()) {
            continue;
        }
        if path.ends_with("/events") {
            continue;
        }
        let page = service.page(&path, &session);
        for action in page.split("<form").skip(1).filter(|form| form.contains("method=\"post\"")) {
            let action = action.split("action=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("an action");
            forms.insert(action.to_owned());
        }
        for address in addresses(&page) {
            assert!(address.starts_with(DASHBOARD), "{path} leads to {address}");
            if !forms.contains(&address) {
                waiting.push(address);
            }
        }
    }
    for expected in
        ["", "/jobs", "/jobs/2", "/queues", "/schedules", "/assets/style.css", "/assets/script.js", "/events"]
    {
        assert!(seen.contains(&format!("{DASHBOARD}{expected}")), "{expected:?} of {seen:#?}");
    }
    assert!(forms.len() >= 4, "{forms:?}");
    assert!(service.page(&format!("{DASHBOARD}/"), &session).contains("Last buried"), "with a slash at the end too");

    // Other users can neither see nor do any of that.
    for path in seen.iter().chain(&forms) {
        for (method, cookie) in [("GET", ""), ("GET", "shop_session=guessed"), ("POST", "")] {
            let answer = service.ask(method, path, cookie, "");
            assert_eq!((answer.status, answer.header("location")), (303, Some("/login")), "{method} {path}");
            assert!(!answer.body.contains("pack"), "{method} {path}: {}", answer.body);
        }
    }

    // Changes, each answered with a page below the path.
    let answer = service.post(&format!("{DASHBOARD}/queues/pause"), &session, "queue=pulpo");
    assert_eq!((answer.status, answer.header("location")), (303, Some("/admin/jobs/queues")));
    let answer = service.post(&format!("{DASHBOARD}/jobs/2/retry"), &session, "");
    assert_eq!((answer.status, answer.header("location")), (303, Some("/admin/jobs/jobs/2")));
    assert!(service.page(&format!("{DASHBOARD}/jobs/2"), &session).contains("its queue is paused"));
    let answer = service.post(&format!("{DASHBOARD}/jobs/act"), &session, "action=delete&all=yes&sure=yes");
    let task = answer.header("location").expect("where it is shown").to_owned();
    assert!(answer.status == 303 && task.starts_with("/admin/jobs/tasks/"), "{task}");
    until("all are deleted", || service.page(&task, &session).contains("Done: deleted 2 jobs"));
    let forged = service.ask("POST", &format!("{DASHBOARD}/queues/resume"), &session, "csrf=guessed&queue=pulpo");
    assert_eq!(forged.status, 403, "{}", forged.body);

    // Live updates too.
    let mut stream = service.send("GET", &format!("{DASHBOARD}/events"), &session, "");
    let mut said = String::new();
    while !said.contains("retry: ") {
        let mut part = [0; 512];
        let read = stream.read(&mut part).expect("read");
        assert!(read > 0, "it ended: {said}");
        said.push_str(&String::from_utf8_lossy(&part[..read]));
    }
    assert!(said.contains("text/event-stream"), "{said}");
}

#[test]
fn a_stop_waits_for_no_open_page() {
    let place = Sandbox::new();
    let mut service = Service::start(&place);
    let session = service.log_in();
    let mut page = service.send("GET", &format!("{DASHBOARD}/events"), &session, "");
    let mut part = [0; 512];
    assert!(page.read(&mut part).expect("an answer") > 0);
    let stopped = Command::new("kill").args(["-TERM", &service.child.id().to_string()]).status();
    assert!(stopped.expect("kill is there").success());
    // The live updates of the page end after 20 seconds, and the service with them.
    let mut code = None;
    let in_time = within(Duration::from_secs(60), || {
        code = service.child.try_wait().expect("a child of ours");
        code.is_some()
    });
    assert!(in_time, "the page keeps it from its end");
    assert!(code.is_some_and(|code| code.success()), "{code:?}");
}

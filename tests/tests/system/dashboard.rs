//! The dashboard: its content, access and changes, and its behaviour in a real browser.

use std::net::SocketAddr;

use pulpo_tests::http::{Answer, ask};
use pulpo_tests::program::{Running, Sandbox};
use pulpo_tests::wait::until;

mod access;
mod accessible;
mod browser;
mod hostile;
mod in_process;
mod job;
mod large_bodies;
mod live;
mod long_queue;
mod nested;
mod pages;
mod pictures;
mod schedules;
mod servers;
mod tabs;
mod waiting;
mod without_scripts;
mod workers;

const WORKER: &str = env!("CARGO_BIN_EXE_operator_worker");

/// The command `dashboard` on a free port, ended on drop.
struct Served {
    address: SocketAddr,
    program: Option<Running>,
}

impl Served {
    fn start(place: &Sandbox, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::by(WORKER, place, arguments, environment)
    }

    /// Starts the dashboard of another program than the usual one.
    fn by(program: &str, place: &Sandbox, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let all: Vec<_> = ["dashboard", "--listen", "127.0.0.1:0"].iter().chain(arguments).copied().collect();
        let mut command = place.command(program, &all);
        command.envs(environment.iter().copied());
        // Remove the output of an earlier one.
        let _ = std::fs::remove_file(place.path("out"));
        let program = place.start_with_output(command);
        let mut address = None;
        until("it says where it is", || {
            let said = std::fs::read_to_string(place.path("out")).unwrap_or_default();
            address = said.split("http://").nth(1).and_then(|rest| rest.split('/').next()?.parse().ok());
            address.is_some()
        });
        Self { address: address.expect("just found"), program: Some(program) }
    }

    /// Requests a page. Returns the page, or the answer in its place.
    fn get(&self, path: &str) -> Answer {
        ask(self.address, "GET", path, &[], "")
    }

    /// Returns the text of a page that exists.
    fn page(&self, path: &str) -> String {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body
    }

    /// Returns the CSRF token in the forms of a page.
    fn csrf(&self, page: &str) -> String {
        let text = self.page(page);
        let field = text.split("name=\"csrf\" value=\"").nth(1).expect("a form");
        field.split('"').next().expect("its value").to_owned()
    }

    /// Submits a form as a page of the dashboard does.
    fn post(&self, path: &str, fields: &str) -> Answer {
        let form = format!("csrf={}&{fields}", self.csrf("/jobs"));
        let origin = format!("http://{}", self.address);
        ask(self.address, "POST", path, &[("Origin", &origin)], &form)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(program) = self.program.take() {
            program.signal("TERM");
            let code = program.end();
            if !std::thread::panicking() {
                assert_eq!(code, 0, "it ends well when it is asked to");
            }
        }
    }
}

/// Publishes some jobs and runs them: one is done, this many are buried, and one is delayed.
fn some_jobs(place: &Sandbox, buried: usize) {
    let lines: String = (0..buried).map(|_| "{\"card\": 0}\n").collect();
    let said = place.run_with_input(WORKER, &["publish", "pay", "--lines", "-"], &lines);
    assert_eq!(said.code, 0, "{}", said.err);
    let once = ["work", "--set", "shutdown_after_number_of_empty_iterations=1", "--set", "sleep_duration=50ms"];
    let said = place.run(WORKER, &once);
    assert_eq!(said.code, 0, "{}", said.err);
    let said = place.run(WORKER, &["publish", "note", "--payload", "later", "--delay", "1h"]);
    assert_eq!(said.code, 0, "{}", said.err);
}

//! A real headless browser, driven over WebDriver.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fantoccini::wd::Capabilities;
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use tokio::runtime::Runtime;

/// Held by the test that has a browser: two at a time take longer than one after the other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A browser for one test, closed on drop.
#[derive(Debug)]
pub struct Browser {
    runtime: Runtime,
    /// Taken when the browser is closed.
    client: Option<Client>,
    driver: Child,
    _profile: tempfile::TempDir,
    /// The last field, so that it is dropped last.
    _turn: MutexGuard<'static, ()>,
}

impl Browser {
    /// Starts Chromium, as packaged by the distribution.
    ///
    /// # Panics
    /// Panics if it does not start.
    #[must_use]
    pub fn start() -> Self {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let profile = tempfile::tempdir().expect("a folder");
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver, of the package chromium-driver");
        let said = BufReader::new(driver.stdout.take().expect("a pipe"));
        let mut lines = said.lines().map_while(Result::ok);
        let port = lines
            .find_map(|line| line.split("started successfully on port ").nth(1).map(str::to_owned))
            .expect("it says its port");
        // Read the rest of its output, so that it never blocks.
        std::thread::spawn(move || lines.for_each(drop));
        let arguments = [
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-quic".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        let mut capabilities = Capabilities::new();
        capabilities.insert("goog:chromeOptions".to_owned(), json!({ "args": arguments }));
        // The log that `requests` reads.
        capabilities.insert("goog:loggingPrefs".to_owned(), json!({ "performance": "ALL" }));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let address = format!("http://127.0.0.1:{}", port.trim().trim_end_matches('.'));
        let client = runtime.block_on(async {
            ClientBuilder::new(HttpConnector::new()).capabilities(capabilities).connect(&address).await
        });
        Self { runtime, client: Some(client.expect("a session")), driver, _profile: profile, _turn: turn }
    }

    /// Runs steps in the browser, for at most three minutes.
    ///
    /// # Panics
    /// Panics if the steps do not finish in time.
    pub fn run<T>(&self, steps: impl AsyncFnOnce(&Client) -> T) -> T {
        let client = self.client.as_ref().expect("it is open");
        self.runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(180), steps(client)).await.expect("an end within three minutes")
        })
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            let closed = async { tokio::time::timeout(Duration::from_secs(10), client.close()).await };
            let _ = self.runtime.block_on(closed);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Sends a command of Chromium's own for which WebDriver has no equivalent, such as another window
/// size or colour scheme. Returns its answer.
///
/// # Panics
/// Panics if the browser refuses it.
pub async fn devtools(client: &Client, command: &str, parameters: &serde_json::Value) -> serde_json::Value {
    let body = json!({ "cmd": command, "params": parameters });
    client.issue_cmd(Devtools(body)).await.expect(command)
}

/// Returns the addresses of all requests that pages have made since the last call.
///
/// # Panics
/// Panics if the browser does not return its log.
pub async fn requests(client: &Client) -> Vec<String> {
    let log = client.issue_cmd(Log).await.expect("the log");
    let entries = log.as_array().expect("entries").iter();
    let messages =
        entries.filter_map(|entry| serde_json::from_str::<serde_json::Value>(entry["message"].as_str()?).ok());
    let sent = messages.filter(|event| event["message"]["method"] == "Network.requestWillBeSent");
    sent.filter_map(|event| event["message"]["params"]["request"]["url"].as_str().map(str::to_owned)).collect()
}

#[derive(Debug)]
struct Log;

impl fantoccini::wd::WebDriverCompatibleCommand for Log {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/se/log", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(json!({ "type": "performance" }).to_string()))
    }
}

#[derive(Debug)]
struct Devtools(serde_json::Value);

impl fantoccini::wd::WebDriverCompatibleCommand for Devtools {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.0.to_string()))
    }
}

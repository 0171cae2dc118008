//! A real headless browser, driven over WebDriver.
//!
//! A page may be replaced, or a part of it, between two commands to the browser. So each helper here tries again until a
//! deadline that is far longer than anything takes, on a machine that does other things too.

use std::error::Error;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fantoccini::elements::Element;
use fantoccini::error::{CmdError, ErrorStatus};
use fantoccini::wd::Capabilities;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// How long to wait for something in a page.
const LONG: Duration = Duration::from_secs(120);

/// How long all the steps of a test may take.
const ALL_STEPS: Duration = Duration::from_secs(900);

/// Held by the test that has a browser: two at a time take longer than one after the other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A browser for one test, closed on drop.
#[derive(Debug)]
pub struct Browser {
    runtime: Runtime,
    /// Taken when the browser is closed.
    client: Option<Client>,
    driver: Child,
    profile: tempfile::TempDir,
    /// The last field, so that it is dropped last.
    _turn: MutexGuard<'static, ()>,
}

impl Browser {
    /// Starts Chromium, as packaged by the distribution.
    ///
    /// # Panics
    /// Panics if it does not start, not even at the third attempt.
    #[must_use]
    pub fn start() -> Self {
        let mut problems = Vec::new();
        for _ in 0..3 {
            match Self::try_start() {
                Ok(browser) => return browser,
                Err(error) => problems.push(error.to_string()),
            }
        }
        panic!("{problems:?}");
    }

    /// A machine that does other things too may be too slow for the time limits of the driver.
    fn try_start() -> Result<Self, Box<dyn Error>> {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let profile = tempfile::tempdir()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("chromedriver, of the package chromium-driver: {error}"))?;
        // From here on, the driver is ended whatever comes.
        let mut browser = Self { runtime, client: None, driver, profile, _turn: turn };
        let said = BufReader::new(browser.driver.stdout.take().ok_or("no pipe")?);
        let mut lines = said.lines().map_while(Result::ok);
        let port = lines
            .find_map(|line| line.split("started successfully on port ").nth(1).map(str::to_owned))
            .ok_or("the driver has not told its port")?;
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
            format!("--user-data-dir={}", browser.profile.path().display()),
        ];
        let mut capabilities = Capabilities::new();
        capabilities.insert("goog:chromeOptions".to_owned(), json!({ "args": arguments }));
        // The log that `requests` reads.
        capabilities.insert("goog:loggingPrefs".to_owned(), json!({ "performance": "ALL" }));
        let address = format!("http://127.0.0.1:{}", port.trim().trim_end_matches('.'));
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let client = browser.runtime.block_on(builder.capabilities(capabilities).connect(&address))?;
        browser.client = Some(client);
        Ok(browser)
    }

    /// Runs steps in the browser, for at most a quarter of an hour.
    ///
    /// # Panics
    /// Panics if the steps do not finish in time.
    pub fn run<T>(&self, steps: impl AsyncFnOnce(&Client) -> T) -> T {
        let client = self.client.as_ref().expect("it is open");
        self.runtime.block_on(async {
            tokio::time::timeout(ALL_STEPS, steps(client)).await.expect("an end within a quarter of an hour")
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

/// Tries until there is a value.
async fn eventually<T>(what: &str, mut attempt: impl AsyncFnMut() -> Result<T, String>) -> T {
    let began = Instant::now();
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(problem) => assert!(began.elapsed() < LONG, "timed out waiting for {what}: {problem}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Runs a script on the page. Returns its value.
///
/// # Panics
/// Panics if it fails again and again, not only while another page is being loaded.
pub async fn evaluate(client: &Client, script: &str) -> Value {
    eventually(script, async || client.execute(script, Vec::new()).await.map_err(|error| error.to_string())).await
}

/// Waits until a script on the page returns `true`.
///
/// # Panics
/// Panics if it does not.
pub async fn holds(client: &Client, what: &str, script: &str) {
    eventually(what, async || match evaluate(client, script).await {
        Value::Bool(true) => Ok(()),
        other => Err(other.to_string()),
    })
    .await;
}

/// Waits until the page shows this text.
///
/// # Panics
/// Panics if it does not.
pub async fn shows(client: &Client, text: &str) {
    eventually(text, async || {
        let shown = evaluate(client, "return document.body?.innerText ?? ''").await;
        let shown = shown.as_str().unwrap_or_default();
        if shown.contains(text) { Ok(()) } else { Err(shown.to_owned()) }
    })
    .await;
}

/// Waits until the browser is at an address that ends like this.
///
/// # Panics
/// Panics if it does not get there.
pub async fn arrives(client: &Client, end: &str) {
    eventually(end, async || {
        let address = client.current_url().await.map_err(|error| error.to_string())?;
        if address.as_str().ends_with(end) { Ok(()) } else { Err(address.to_string()) }
    })
    .await;
}

/// Waits until the page has this element.
///
/// # Panics
/// Panics if it does not.
pub async fn find(client: &Client, locator: Locator<'_>) -> Element {
    let what = format!("{locator:?}");
    eventually(&what, async || client.find(locator).await.map_err(|error| error.to_string())).await
}

/// Waits for an element, and does something with it. The element may have been replaced since it was found.
async fn use_element(client: &Client, locator: Locator<'_>, action: impl AsyncFn(Element) -> Result<(), CmdError>) {
    let what = format!("{locator:?}");
    eventually(&what, async || {
        let element = client.find(locator).await.map_err(|error| error.to_string())?;
        let Err(error) = action(element).await else { return Ok(()) };
        assert!(is_untouched(&error), "{what}: {error}");
        Err(error.to_string())
    })
    .await;
}

/// Returns whether the element is as it was, so that the action may be tried again.
fn is_untouched(error: &CmdError) -> bool {
    let CmdError::Standard(of) = error else { return false };
    let is_replaced = of.message.contains("does not belong to the document");
    is_replaced
        || matches!(
            of.error,
            ErrorStatus::NoSuchElement
                | ErrorStatus::StaleElementReference
                | ErrorStatus::ElementClickIntercepted
                | ErrorStatus::ElementNotInteractable
        )
}

/// Clicks on the element with this XPath.
///
/// # Panics
/// Panics if the element is missing, or cannot be clicked.
pub async fn click(client: &Client, path: &str) {
    use_element(client, Locator::XPath(path), async |element| element.click().await).await;
}

/// Types a text into the field with this CSS selector.
///
/// # Panics
/// Panics if the field is missing.
pub async fn fill(client: &Client, field: &str, text: &str) {
    use_element(client, Locator::Css(field), async |element| element.send_keys(text).await).await;
}

/// Chooses a value in the list with this CSS selector.
///
/// # Panics
/// Panics if the list is missing, or does not have this value.
pub async fn choose(client: &Client, field: &str, value: &str) {
    use_element(client, Locator::Css(field), async |element| element.select_by_value(value).await).await;
}

/// Sends a command of Chromium's own for which WebDriver has no equivalent, such as another window
/// size or colour scheme. Returns its answer.
///
/// # Panics
/// Panics if the browser refuses it.
pub async fn devtools(client: &Client, command: &str, parameters: &Value) -> Value {
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
    let messages = entries.filter_map(|entry| serde_json::from_str::<Value>(entry["message"].as_str()?).ok());
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
struct Devtools(Value);

impl fantoccini::wd::WebDriverCompatibleCommand for Devtools {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.0.to_string()))
    }
}

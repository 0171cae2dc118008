//! The cost of an open dashboard for the workers.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use pulpo::Pulpo;
use tokio::runtime::Runtime;

use crate::file::open;
use crate::measure::{Effort, Row, Target};
use crate::work;

pub(crate) const ROWS: &[crate::Group] = &[("file dashboard", drain_with_an_open_page)];

/// Each drain takes seconds, so that the page is refreshed several times.
fn drain_with_an_open_page(effort: &Effort) -> Vec<Row> {
    let jobs = effort.drain() * if effort.quick { 20 } else { 5 };
    let effort = Effort { rounds: effort.rounds.min(3), ..effort.clone() };
    let mut loaded = 0;
    let rates = effort.against(
        || {
            let place = effort.place();
            let page = OpenPage::new(open(place.path(), 1));
            let rate = work::drain_all(&open(place.path(), 8), jobs);
            loaded += page.close();
            rate
        },
        || work::drain_all(&open(effort.place().path(), 8), jobs),
    );
    assert!(loaded > 2 * rates.0.len() as u64, "the page was refreshed {loaded} times only");
    let row = Row::rates("file: drain with 8 lanes, a dashboard open", "pulpo, no dashboard", &rates);
    vec![row.target(Target::Ratio(0.95))]
}

/// A dashboard in this process, and a client that asks as the page in a browser
/// does: it waits for events, and loads the page again at each change.
struct OpenPage {
    runtime: Runtime,
    is_closed: Arc<AtomicBool>,
    loaded: Arc<AtomicU64>,
    client: thread::JoinHandle<()>,
}

impl OpenPage {
    fn new(pulpo: Pulpo) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address");
        let served = axum::serve(listener, pulpo::dashboard::router(pulpo));
        runtime.spawn(async { served.await.expect("it serves") });
        let (is_closed, loaded) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (told, counter) = (is_closed.clone(), loaded.clone());
        let client = thread::spawn(move || {
            let mut events = ask(address, "/events");
            load(address, &counter);
            let mut line = String::new();
            while !told.load(Relaxed) {
                line.clear();
                // The end of the server is the end of the page.
                if !events.read_line(&mut line).is_ok_and(|length| length > 0) {
                    return;
                }
                if line.starts_with("event: change") {
                    load(address, &counter);
                }
            }
        });
        Self { runtime, is_closed, loaded, client }
    }

    /// Closes the page. Returns how often it was loaded.
    fn close(self) -> u64 {
        self.is_closed.store(true, Relaxed);
        self.runtime.shutdown_timeout(Duration::from_secs(5));
        self.client.join().expect("no panic");
        self.loaded.load(Relaxed)
    }
}

fn ask(address: SocketAddr, path: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(address).expect("a connection");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").expect("asked");
    BufReader::new(stream)
}

fn load(address: SocketAddr, counter: &AtomicU64) {
    let mut page = String::new();
    // Cut off where the server ends first.
    if ask(address, "/").read_to_string(&mut page).is_ok() && page.contains("Jobs by type") {
        counter.fetch_add(1, Relaxed);
    }
}

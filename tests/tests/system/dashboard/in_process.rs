//! A dashboard in the process of the test, as in a web service of a user's.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use pulpo::Pulpo;
use pulpo::clock::SystemClock;
use pulpo::queue::QueueAdapter;
use pulpo::queue::file::FileQueue;
use pulpo::worker::WorkerOptions;
use pulpo_tests::http::{Answer, ask};
use tokio::runtime::Runtime;

/// A web service in this process, ended on drop.
pub(super) struct Service {
    pub(super) address: SocketAddr,
    _runtime: Runtime,
}

impl Service {
    pub(super) fn start(router: axum::Router) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("set");
        let address = listener.local_addr().expect("an address");
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            axum::serve(listener, router).await
        });
        Self { address, _runtime: runtime }
    }

    pub(super) fn get(&self, path: &str) -> Answer {
        ask(self.address, "GET", path, &[], "")
    }

    /// Returns the CSRF token in the forms of a page.
    pub(super) fn csrf(&self, page: &str) -> String {
        let text = self.get(page).body;
        let field = text.split("name=\"csrf\" value=\"").nth(1).unwrap_or_else(|| panic!("no form in {text}"));
        field.split('"').next().expect("its value").to_owned()
    }
}

/// Opens an embedded queue in this folder.
pub(super) fn file_queue(folder: &Path) -> FileQueue {
    FileQueue::open(folder, false, Arc::new(SystemClock::new())).expect("a queue")
}

pub(super) fn pulpo_on(queue: Arc<dyn QueueAdapter>) -> Pulpo {
    Pulpo::with_queue(queue, WorkerOptions::default(), Arc::new(SystemClock::new()))
}

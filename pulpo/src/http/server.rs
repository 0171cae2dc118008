//! Serves a [`Router`] on a thread of its own, within limits.
//!
//! # Invariants
//! - Neither input nor a lack of it ends the server, or takes more than a bounded part of memory, threads, descriptors
//!   and time.
//! - A proper request is answered in spite of any number of improper ones: a connection answers one request, and an
//!   idle one makes room.
//! - No page may block: a slow answer is a [`Question`](super::Question).

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode};
use axum::response::IntoResponse as _;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use super::connections::{Connections, Phase};
use crate::process::fork::RUNTIMES;
use crate::report::chain;

/// The number of connections that may wait to be accepted. Beyond it a client tries again after a second, so the
/// standard library's 128 are too few for a burst.
const BACKLOG: u32 = 1024;

/// The pause after the system failed to accept a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How often to log that the system fails.
const ACCEPT_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// How many bytes after a request are read and thrown away, so that the client gets to read why it was refused.
const LINGER_BYTES: usize = 64 * 1024;

/// The limits on the clients of a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Number of connections that are open at the same time. Default: a quarter of the descriptors that the process may
    /// have, at most 256.
    pub(crate) connections: usize,
    /// Bytes of a request without its body. Default: 16 KiB.
    pub(crate) request: usize,
    /// Bytes of a body. Only a POST may have one, and it must give the length. Default: 64 KiB.
    pub(crate) body: usize,
    /// Time from the connection to the end of the request. Default: 5 seconds.
    pub(crate) request_within: Duration,
    /// Time from the connection to its end. Default: 30 seconds.
    pub(crate) connection_within: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: (descriptors() / 4).clamp(4, 256),
            request: 16 * 1024,
            body: 64 * 1024,
            request_within: Duration::from_secs(5),
            connection_within: Duration::from_secs(30),
        }
    }
}

/// Returns how many descriptors this process may have.
fn descriptors() -> usize {
    #[cfg(target_os = "linux")]
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    #[cfg(not(target_os = "linux"))]
    let limit = None;
    limit.map_or(usize::MAX, |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Serves until it is dropped, on the thread `pulpo-http`.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    /// Dropped to stop it.
    running: Option<oneshot::Sender<Infallible>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Server {
    /// Listens at this address, and runs `beside` on the same thread.
    ///
    /// # Errors
    /// If the address cannot be bound, or the system provides no thread.
    pub(crate) fn start(
        address: SocketAddr,
        pages: Router,
        limits: Limits,
        beside: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<Self> {
        let (running, stopped) = oneshot::channel();
        let (tell, told) = mpsc::channel();
        // All of it runs on that thread, because the caller's may belong to another runtime.
        let thread = thread::Builder::new().name("pulpo-http".to_owned()).spawn(move || {
            let make = || tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
            let started = RUNTIMES.run(io::Error::other, make);
            let started = started.and_then(|runtime| {
                let listener = runtime.block_on(async { listen(address) })?;
                Ok((listener.local_addr()?, listener, runtime))
            });
            match started {
                Ok((address, listener, runtime)) => {
                    let _ = tell.send(Ok(address));
                    runtime.spawn(accept(listener, pages, limits));
                    runtime.spawn(beside);
                    // Nothing is ever sent: this ends when the server is dropped.
                    let _ = runtime.block_on(stopped);
                }
                Err(error) => {
                    let _ = tell.send(Err(error));
                }
            }
        })?;
        let address = told.recv().unwrap_or_else(|_| Err(io::Error::other("the thread of the server has ended")))?;
        Ok(Self { address, running: Some(running), thread: Some(thread) })
    }

    /// Returns the address that it listens at, with the port that the system chose for port 0.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.running.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // On other systems, this would share an address that is taken.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn accept(listener: TcpListener, pages: Router, limits: Limits) {
    let mut connections = Connections::new(limits.connections);
    let mut logged: Option<Instant> = None;
    let mut unread = 0;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let Some(slot) = connections.slot().await else { return };
                let phase = Phase::default();
                let (pages, at) = (pages.clone(), phase.clone());
                let task = tokio::spawn(async move {
                    serve(stream, pages, &limits, &at).await;
                    drop(slot);
                });
                connections.push(task.abort_handle(), phase);
                // In a burst too, requests that have arrived are read before others may push them out.
                unread += 1;
                if unread >= limits.connections / 8 {
                    tokio::task::yield_now().await;
                    unread = 0;
                }
            }
            Err(error) if is_of_the_client(&error) => tokio::task::yield_now().await,
            Err(error) => {
                if logged.is_none_or(|at| at.elapsed() >= ACCEPT_LOG_INTERVAL) {
                    tracing::warn!(error = chain(&error), "cannot accept connections over HTTP, trying again");
                    logged = Some(Instant::now());
                }
                // Most likely no descriptors are left, and our connections may hold too many.
                if !connections.make_room() {
                    sleep(ACCEPT_PAUSE).await;
                }
                tokio::task::yield_now().await;
            }
        }
    }
}

/// Returns whether the error concerns only this connection.
fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

/// Answers one request, and closes the connection properly.
async fn serve(stream: TcpStream, pages: Router, limits: &Limits, phase: &Phase) {
    let mut stream = ResetOnDrop(Some(stream));
    let Some(socket) = stream.0.as_mut() else { return };
    let exchange = async {
        let service = service_fn(|request| answer(pages.clone(), request, limits, phase));
        let served = http1::Builder::new()
            .keep_alive(false)
            .timer(TokioTimer::new())
            .header_read_timeout(limits.request_within)
            .max_buf_size(limits.request)
            .serve_connection(TokioIo::new(&mut *socket), service)
            .await;
        phase.idle();
        // A faulty request is answered too, but a late one is not.
        !served.is_err_and(|error| error.is_timeout()) && see_off(socket).await
    };
    if timeout(limits.connection_within, exchange).await.is_ok_and(|seen_off| seen_off) {
        stream.0.take();
    }
}

/// Waits until the client closes the connection, and throws away what it still sends: if closed earlier, the system
/// would take back the answer. False if the client sends too much.
async fn see_off(socket: &mut TcpStream) -> bool {
    if socket.shutdown().await.is_err() {
        return false;
    }
    let (mut rest, mut read) = (vec![0; 16 * 1024], 0);
    while read < LINGER_BYTES {
        match socket.read(&mut rest).await {
            Ok(0) => return true,
            Ok(count) => read += count,
            Err(_) => return false,
        }
    }
    false
}

async fn answer(
    pages: Router,
    request: Request<Incoming>,
    limits: &Limits,
    phase: &Phase,
) -> Result<Response<Body>, Infallible> {
    let request = match whole(request, limits).await {
        Ok(request) => request,
        Err((status, why)) => {
            phase.answered();
            return Ok((status, why).into_response());
        }
    };
    phase.asked();
    let answer = TowerToHyperService::new(pages).call(request).await;
    phase.answered();
    answer
}

/// Returns the request with its whole body, or its fault. Until the body is there, the connection counts as one without
/// a request.
async fn whole(request: Request<Incoming>, limits: &Limits) -> Result<Request<Body>, (StatusCode, String)> {
    let refused = |status: StatusCode, why: String| Err((status, why));
    if request.body().is_end_stream() {
        return Ok(request.map(|_| Body::empty()));
    }
    if request.method() != Method::POST {
        return refused(StatusCode::PAYLOAD_TOO_LARGE, "expected a request without a body\n".to_owned());
    }
    let Some(length) = request.body().size_hint().exact() else {
        return refused(StatusCode::LENGTH_REQUIRED, "expected the length of the body\n".to_owned());
    };
    if length > limits.body as u64 {
        let most = limits.body;
        return refused(StatusCode::PAYLOAD_TOO_LARGE, format!("expected a body of at most {most} bytes\n"));
    }
    let (head, body) = request.into_parts();
    let read = axum::body::to_bytes(Body::new(body), limits.body);
    match timeout(limits.request_within, read).await {
        Ok(Ok(bytes)) => Ok(Request::from_parts(head, bytes.into())),
        Ok(Err(_)) => refused(StatusCode::BAD_REQUEST, "the body ended early\n".to_owned()),
        Err(_) => refused(StatusCode::REQUEST_TIMEOUT, "the body did not come in time\n".to_owned()),
    }
}

/// Resets a connection that is closed early, so that nothing of its answer stays in the memory of the system for a
/// client that does not read it.
struct ResetOnDrop(Option<TcpStream>);

impl Drop for ResetOnDrop {
    fn drop(&mut self) {
        if let Some(stream) = &self.0 {
            let _ = stream.set_zero_linger();
        }
    }
}

#[cfg(test)]
mod tests;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream as Client};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use axum::routing::get;

use super::*;

const LONG: Duration = Duration::from_secs(30);

fn start(limits: Limits) -> Server {
    start_counting(limits).0
}

/// Starts a server, and counts the requests that wait for an answer that never comes.
fn start_counting(limits: Limits) -> (Server, Arc<AtomicUsize>) {
    let waiting = Arc::new(AtomicUsize::new(0));
    let count = waiting.clone();
    let never = async move || {
        count.fetch_add(1, Ordering::SeqCst);
        std::future::pending::<()>().await;
    };
    let pages = Router::new()
        .route("/", get(async || "here"))
        .route("/never", get(never))
        .route("/large", get(async || vec![b'x'; 64 << 20]));
    (Server::start((Ipv4Addr::LOCALHOST, 0).into(), pages, limits, async {}).unwrap(), waiting)
}

fn connect(server: &Server) -> Client {
    let client = Client::connect(server.address()).unwrap();
    client.set_read_timeout(Some(LONG)).unwrap();
    client
}

/// Sends a request, and returns the answer until the end of the connection.
fn exchange(server: &Server, request: &str) -> String {
    let mut client = connect(server);
    client.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    answer
}

/// Returns whether the server ends this connection, whatever it has sent before.
fn is_closed(mut client: Client) -> bool {
    match client.read_to_end(&mut Vec::new()) {
        Ok(_) => true,
        Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn each_connection_answers_one_request_and_ends() {
    let server = start(Limits::default());
    let answer = exchange(&server, "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nhere"), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
}

#[test]
fn methods_paths_and_faulty_requests_have_their_status() {
    let server = start(Limits::default());
    for (request, status) in [
        ("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "200 OK"),
        ("GET http://a/?b=c HTTP/1.1\r\nHost: a\r\n\r\n", "200 OK"),
        ("GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "200 OK"),
        ("GET / HTTP/1.0\r\n\r\n", "200 OK"),
        ("GET /elsewhere HTTP/1.1\r\n\r\n", "404 Not Found"),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", "404 Not Found"),
        ("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "405 Method Not Allowed"),
        ("DELETE / HTTP/1.1\r\n\r\n", "405 Method Not Allowed"),
        ("GET / HTTP/1.1\r\nContent-Length: 1000000000000000\r\n\r\n", "413 Payload Too Large"),
        ("GET / HTTP/1.1\r\nContent-Length: 9223372036854775807\r\n\r\n", "413 Payload Too Large"),
        ("GET / HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody", "413 Payload Too Large"),
        ("POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody", "405 Method Not Allowed"),
        ("POST / HTTP/1.1\r\nContent-Length: 65537\r\n\r\nbody", "413 Payload Too Large"),
        ("POST / HTTP/1.1\r\nContent-Length: 1000000000000000\r\n\r\n", "413 Payload Too Large"),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "411 Length Required"),
        ("GET / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n", "413 Payload Too Large"),
        ("GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "400 Bad Request"),
        ("GET / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n", "400 Bad Request"),
        ("GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "400 Bad Request"),
        ("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\r\n\r\n", "400 Bad Request"),
        ("GET /\u{0}\r\n\r\n", "400 Bad Request"),
    ] {
        let answer = exchange(&server, request);
        let (version, rest) = answer.split_at(9);
        assert!(["HTTP/1.1 ", "HTTP/1.0 "].contains(&version), "{request:?}: {answer:?}");
        assert!(rest.starts_with(status), "{request:?}: {answer:?}");
    }
    // The preface of HTTP/2 gets no answer in HTTP/1.
    assert_eq!(exchange(&server, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "");
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    assert!(exchange(&server, &long).starts_with("HTTP/1.1 431 "));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(200));
    assert!(exchange(&server, &many).starts_with("HTTP/1.1 431 "));
}

#[test]
fn a_request_that_does_not_come_in_time_is_given_up() {
    let server = start(Limits { request_within: Duration::from_millis(100), ..Limits::default() });
    let silent = connect(&server);
    let mut slow = connect(&server);
    slow.write_all(b"GET / HTTP/1.1\r\nHos").unwrap();
    assert!(is_closed(silent) && is_closed(slow));
}

#[test]
fn an_answer_that_is_not_read_in_time_is_given_up() {
    let server = start(Limits { connection_within: Duration::from_millis(100), ..Limits::default() });
    for path in ["/large", "/never"] {
        let mut client = connect(&server);
        client.write_all(format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
        // It is reset, even if a part of the answer is still on its way.
        let end = Instant::now() + LONG;
        while client.take_error().unwrap().is_none() {
            assert!(Instant::now() < end, "{path} is still open");
            thread::park_timeout(Duration::from_millis(1));
        }
    }
}

#[test]
fn idle_connections_make_room_first_and_then_those_that_wait_for_an_answer() {
    let (server, count) = start_counting(Limits { connections: 2, ..Limits::default() });
    let asking = |number| {
        let mut client = connect(&server);
        client.write_all(b"GET /never HTTP/1.1\r\n\r\n").unwrap();
        let end = Instant::now() + LONG;
        while count.load(Ordering::SeqCst) < number {
            assert!(Instant::now() < end, "the request has not arrived");
            thread::park_timeout(Duration::from_millis(1));
        }
        client
    };
    let mut waiting = asking(1);
    let idle = connect(&server);
    assert!(exchange(&server, "GET / HTTP/1.1\r\n\r\n").ends_with("here"));
    assert!(is_closed(idle));
    // It is still open: it sends nothing, and has not ended.
    waiting.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let none = waiting.read(&mut [0]).unwrap_err().kind();
    assert!(matches!(none, io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut), "{none:?}");
    waiting.set_read_timeout(Some(LONG)).unwrap();
    let other = asking(2);
    assert!(exchange(&server, "GET / HTTP/1.1\r\n\r\n").ends_with("here"));
    assert!(is_closed(waiting), "it came before the other one");
    drop(other);
}

#[test]
fn a_client_that_goes_on_sending_still_reads_why_it_is_refused() {
    let server = start(Limits::default());
    let mut client = connect(&server);
    client.write_all(b"GET / HTTP/1.1\r\nContent-Length: 40000\r\n\r\n").unwrap();
    client.write_all(&[b'x'; 40_000]).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("expected a request without a body\n"), "{answer}");
}

#[test]
fn it_ends_at_once_beside_clients_that_wait() {
    let server = start(Limits::default());
    let mut waiting = connect(&server);
    waiting.write_all(b"GET /never HTTP/1.1\r\n\r\n").unwrap();
    let silent = connect(&server);
    assert!(exchange(&server, "GET / HTTP/1.1\r\n\r\n").ends_with("here"));
    let (address, began) = (server.address(), Instant::now());
    drop(server);
    assert!(began.elapsed() < LONG / 2, "{:?}", began.elapsed());
    assert!(is_closed(waiting) && is_closed(silent));
    assert!(Client::connect(address).is_err());
}

#[test]
fn an_address_that_is_taken_is_an_error() {
    let server = start(Limits::default());
    let again = Server::start(server.address(), Router::new(), Limits::default(), async {});
    assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn it_is_started_and_ended_within_another_runtime() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    runtime.block_on(async { drop(start(Limits::default())) });
}

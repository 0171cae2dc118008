//! Tests connecting to peers that are not servers.

use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};

use super::*;

const TIMEOUT: Duration = Duration::from_secs(3);

/// A machine that does other things may take longer for the same. One address after the other takes three times as long.
const LONG: Duration = Duration::from_millis(8900);

fn server(host: &str, port: u16) -> Server {
    Server { host: host.to_owned(), port, response_timeout: TIMEOUT }
}

/// Answers its first command as a beanstalkd does, and no other.
fn polite(listener: TcpListener) {
    std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        let mut socket = BufReader::new(socket);
        io::BufRead::read_line(&mut socket, &mut String::new()).unwrap();
        socket.get_mut().write_all(b"USING default\r\n").unwrap();
        let _ = io::Read::read(&mut socket, &mut [0]);
    });
}

#[test]
fn a_unix_socket_is_refused_in_words() {
    for host in ["/var/run/beanstalkd.sock", "unix:/run/b"] {
        let fault = Connection::open(&server(host, 1), None).unwrap_err();
        assert!(fault.to_string().contains("unix sockets are not supported"), "{fault}");
    }
}

#[test]
fn an_address_that_accepts_and_says_nothing_leaves_time_for_the_next() {
    let pair = || {
        let silent = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
        let port = silent.local_addr().unwrap().port();
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok().map(|good| (silent, good, port))
    };
    // Another program may use one of the two.
    let (silent, good, port) = (0..20).find_map(|_| pair()).unwrap();
    polite(good);
    let addresses = [silent.local_addr().unwrap(), (Ipv4Addr::LOCALHOST, port).into()];
    let started = Instant::now();
    let connection = Connection::open_first(&addresses, &server("both", port), None).unwrap();
    assert!(started.elapsed() < LONG, "it took {:?}", started.elapsed());
    assert!(connection.is_in_step());
}

#[test]
fn silence_at_all_addresses_takes_no_longer_than_at_one() {
    let silent: Vec<_> = (0..3).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
    let addresses: Vec<_> = silent.iter().map(|one| one.local_addr().unwrap()).collect();
    let started = Instant::now();
    let fault = Connection::open_first(&addresses, &server("all", 1), None).unwrap_err();
    assert_eq!(fault, Fault::Silent(TIMEOUT));
    assert!((TIMEOUT..LONG).contains(&started.elapsed()), "it took {:?}", started.elapsed());
}

#[test]
fn an_address_of_ipv6_keeps_its_scope() {
    // The interface of this machine, by its number and its name.
    for host in ["fe80::1%1", "fe80::1%lo"] {
        match addresses(&server(host, 11300)) {
            Ok(all) => assert!(matches!(all[0], SocketAddr::V6(v6) if v6.scope_id() == 1), "{host}: {all:?}"),
            Err(fault) => panic!("{host}: {fault}"),
        }
    }
}

#[test]
fn an_answer_after_silence_is_still_read() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (late, may_answer) = mpsc::channel();
    std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        let mut socket = BufReader::new(socket);
        for answer in ["USING default\r\n", "RESERVED 7 2\r\nab\r\n"] {
            io::BufRead::read_line(&mut socket, &mut String::new()).unwrap();
            if answer.starts_with('R') {
                may_answer.recv().unwrap();
            }
            socket.get_mut().write_all(answer.as_bytes()).unwrap();
        }
        let _ = io::Read::read(&mut socket, &mut [0]);
    });
    let mut connection = Connection::open(&server("127.0.0.1", port), None).unwrap();
    let mut commands = Commands::new();
    commands.reserve(0);
    connection.send(&commands).unwrap();
    assert_eq!(connection.answer(), Err(Fault::Silent(TIMEOUT)));
    assert!(!connection.is_in_step() && !connection.has_ended());
    late.send(()).unwrap();
    let answer = connection.answer_after(Duration::from_secs(60)).unwrap();
    assert_eq!(answer, Answer::Reserved { id: 7, text: b"ab".to_vec() });
    assert!(connection.is_in_step());
}

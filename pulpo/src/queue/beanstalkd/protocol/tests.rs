//! Tests the parsing of a server's answers, byte by byte.

use std::io::BufReader;

use super::*;

/// Sends these parts, and times out after each but the last.
struct Slowly(Vec<Result<&'static [u8], ()>>);

impl Slowly {
    fn new(parts: &[&'static [u8]]) -> Self {
        Self(parts.iter().rev().flat_map(|part| [Err(()), Ok(*part)]).skip(1).collect())
    }
}

impl io::Read for Slowly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.pop() {
            None => Ok(0),
            Some(Err(())) => Err(io::ErrorKind::WouldBlock.into()),
            Some(Ok(part)) => {
                let now = part.len().min(buffer.len());
                buffer[..now].copy_from_slice(&part[..now]);
                if now < part.len() {
                    self.0.push(Ok(&part[now..]));
                }
                Ok(now)
            }
        }
    }
}

fn read(said: &[u8]) -> Result<Answer, Fault> {
    match Reading::default().next(&mut BufReader::new(said)) {
        Ok(answer) => Ok(answer),
        Err(ReadError::Answer(fault)) => Err(fault),
        Err(ReadError::Socket(error)) => panic!("{error}"),
    }
}

#[test]
fn each_answer_of_the_server_is_known() {
    let text = |text: &str| text.as_bytes().to_vec();
    for (said, expected) in [
        ("INSERTED 7\r\n", Answer::Inserted(7)),
        ("BURIED\r\n", Answer::Buried(None)),
        ("BURIED 7\r\n", Answer::Buried(Some(7))),
        ("USING mail\r\n", Answer::Using),
        ("RESERVED 7 2\r\nab\r\n", Answer::Reserved { id: 7, text: text("ab") }),
        ("FOUND 7 2\r\n\r\n\r\n", Answer::Found { id: 7, text: text("\r\n") }),
        ("OK 0\r\n\r\n", Answer::Told(Vec::new())),
        ("KICKED\r\n", Answer::Kicked(None)),
        ("KICKED 3\r\n", Answer::Kicked(Some(3))),
        ("NOT_FOUND\r\n", Answer::NotFound),
    ] {
        assert_eq!(read(said.as_bytes()), Ok(expected), "{said:?}");
    }
}

#[test]
fn an_unknown_answer_ends_the_connection() {
    for said in [
        "HTTP/1.1 400 Bad Request\r\n",
        "INSERTED\r\n",
        "INSERTED x\r\n",
        "INSERTED 18446744073709551616\r\n",
        "RESERVED 7\r\n",
        "RESERVED 7 9999999999\r\n",
        "OK -1\r\n",
        "INSERTED 7\n",
        "UNKNOWN_COMMAND\r\n",
        "EXPECTED_CRLF\r\n",
        "",
        "INSERTED 12",
        "RESERVED 7 5\r\nabc",
        "RESERVED 7 1\r\nabc\r\n",
    ] {
        let fault = read(said.as_bytes()).unwrap_err();
        assert!(fault.ends_connection(), "{said:?}: {fault}");
    }
    let endless = "x".repeat(100_000);
    assert!(matches!(read(endless.as_bytes()), Err(Fault::Foreign(shown)) if shown.len() == 100));
}

#[test]
fn an_answer_that_comes_in_parts_is_read_on_after_each_timeout() {
    let parts: [&[u8]; 5] = [b"RESER", b"VED 7 4\r", b"\na", b"bc", b"d\r\nDELETED\r\n"];
    let mut from = BufReader::new(Slowly::new(&parts));
    let (mut reading, mut timeouts) = (Reading::default(), 0);
    let answer = loop {
        match reading.next(&mut from) {
            Ok(answer) => break answer,
            Err(ReadError::Socket(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                timeouts += 1;
                assert!(!reading.is_between_answers());
            }
            Err(error) => panic!("{error:?}"),
        }
    };
    assert_eq!((answer, timeouts), (Answer::Reserved { id: 7, text: b"abcd".to_vec() }, 4));
    assert!(reading.is_between_answers());
    assert_eq!(reading.next(&mut from).unwrap(), Answer::Deleted);
}

#[test]
fn a_text_that_is_announced_takes_no_memory_before_it_comes() {
    let mut reading = Reading::default();
    assert!(reading.next(&mut BufReader::new(&b"RESERVED 7 1073741824\r\nabc"[..])).is_err());
    assert!(reading.text.capacity() <= FIRST_ROOM + 2, "{} bytes", reading.text.capacity());
}

#[test]
fn an_answer_to_another_command_ends_the_connection() {
    assert!(Answer::Deleted.inserted().unwrap_err().ends_connection());
    assert!(Answer::Buried(None).expect(&Answer::Touched).is_err());
    assert_eq!(Answer::NotFound.done(&Answer::Deleted), Ok(false));
    assert_eq!(Answer::Draining.inserted(), Err(Fault::Draining));
}

#[test]
fn commands_are_the_bytes_of_the_protocol() {
    let mut commands = Commands::new();
    commands.use_tube("mail").put("{}", 7, 0, 60).reserve(1).release(3, 7, 2).pause_tube("mail", 5);
    let expected = "use mail\r\nput 7 0 60 2\r\n{}\r\nreserve-with-timeout 1\r\nrelease 3 7 2\r\npause-tube mail 5\r\n";
    assert_eq!((commands.len(), String::from_utf8_lossy(commands.bytes()).as_ref()), (5, expected));
}

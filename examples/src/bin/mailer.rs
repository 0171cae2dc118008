//! A worker that sends mails through a mail server that is sometimes down: the program of
//! docs/operating.md.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct SendEmail {
    to: String,
    subject: String,
}

#[pulpo::handler("send_email", queue = "mail", max_attempts = 3, backoff = "100ms..1s", timeout = "30s")]
fn send_email(email: SendEmail) -> pulpo::Outcome {
    if !email.to.contains('@') {
        return Err(pulpo::fatal(format!("{:?} is not a mail address", email.to)));
    }
    let server = std::env::var("MAIL_SERVER").unwrap_or_else(|_| "127.0.0.1:2525".to_owned());
    deliver(&server, &email).map_err(|error| format!("mail server {server}: {error}"))?;
    Ok(())
}

/// Sends one mail over SMTP, as simply as possible.
fn deliver(server: &str, email: &SendEmail) -> io::Result<()> {
    let mut writer = TcpStream::connect(server)?;
    writer.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut reader = BufReader::new(writer.try_clone()?);
    let mut expect = |code: &str| {
        let mut answer = String::new();
        reader.read_line(&mut answer)?;
        if answer.starts_with(code) { Ok(()) } else { Err(io::Error::other(answer.trim().to_owned())) }
    };
    expect("220")?;
    let SendEmail { to, subject } = email;
    for (line, code) in [
        ("HELO shop.example".to_owned(), "250"),
        ("MAIL FROM:<shop@shop.example>".to_owned(), "250"),
        (format!("RCPT TO:<{to}>"), "250"),
        ("DATA".to_owned(), "354"),
        (format!("To: {to}\r\nSubject: {subject}\r\n\r\nThank you.\r\n."), "250"),
        ("QUIT".to_owned(), "221"),
    ] {
        writer.write_all(format!("{line}\r\n").as_bytes())?;
        expect(code)?;
    }
    Ok(())
}

pulpo::main!();

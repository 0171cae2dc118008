//! Whether a beanstalkd answers, asked on a socket of our own before the client
//! crate gets to connect: it panics in `connect` on a name that does not resolve
//! or has no IPv4 address, and cannot tell a beanstalkd from anything else.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use super::client::Server;
use super::fault::Fault;

/// The first address of the server at which a beanstalkd answers, asked on a
/// socket of our own, which has timeouts.
pub(super) fn probe(server: &Server) -> Result<SocketAddr, Fault> {
    let name = (server.host.as_str(), server.port);
    let addresses = name
        .to_socket_addrs()
        .map_err(|error| Fault::Unreachable(format!("the name {:?} does not resolve: {error}", server.host)))?;
    let mut last = Fault::Unreachable(format!("the name {:?} has no address", server.host));
    for address in addresses {
        match probe_address(&address, server.silence) {
            Ok(()) => return Ok(address),
            Err(fault) => last = fault,
        }
    }
    Err(last)
}

fn probe_address(address: &SocketAddr, limit: Duration) -> Result<(), Fault> {
    let mut socket =
        TcpStream::connect_timeout(address, limit).map_err(|error| Fault::Unreachable(error.to_string()))?;
    let broken = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => Fault::Silent(limit),
        _ => Fault::Dropped(error.to_string()),
    };
    socket.set_read_timeout(Some(limit)).map_err(broken)?;
    socket.set_write_timeout(Some(limit)).map_err(broken)?;
    socket.write_all(b"list-tube-used\r\n").map_err(broken)?;
    let expected = b"USING ";
    let mut answer = Vec::new();
    let mut part = [0; 64];
    while answer.len() < expected.len() {
        match socket.read(&mut part).map_err(broken)? {
            0 => return Err(Fault::Dropped("the server closed it".to_owned())),
            more => answer.extend_from_slice(&part[..more]),
        }
    }
    if answer.starts_with(expected) {
        return Ok(());
    }
    Err(Fault::Foreign(String::from_utf8_lossy(&answer).trim_end().to_owned()))
}

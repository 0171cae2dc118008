//! The socket of the client crate, which hides it, sets no timeouts and waits
//! for the answer to each command before the next.
//!
//! Its `Debug` tells the number of the descriptor, as that of the standard
//! library's sockets does on Unix. Who holds the client so can shut its socket
//! down, and write several commands at once. That the number is that of a
//! socket with the right peer is checked; one that is not told is an error when
//! the connection is opened. On other systems a connection to a server that has
//! fallen silent ends when the system gives it up.

use std::net::SocketAddr;
#[cfg(unix)]
use std::os::fd::RawFd;

use super::fault::Fault;

/// Valid as long as its client is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Socket {
    #[cfg(unix)]
    descriptor: RawFd,
}

#[cfg(unix)]
impl Socket {
    /// The one that is shown in this text, connected to this address.
    pub(super) fn find(shown: &str, peer: &SocketAddr) -> Result<Self, Fault> {
        let number = shown.split_once(" fd: ").map_or("", |(_, rest)| rest);
        let digits = number.find(|c: char| !c.is_ascii_digit()).map_or(number, |end| &number[..end]);
        let descriptor = digits.parse().map_err(|_| unknown(shown))?;
        let socket = Self { descriptor };
        if socket.peer().is_some_and(|it| (it.ip(), it.port()) == (peer.ip(), peer.port())) {
            Ok(socket)
        } else {
            Err(unknown(shown))
        }
    }

    fn peer(self) -> Option<SocketAddr> {
        use nix::sys::socket::{SockaddrStorage, getpeername};
        let address: SockaddrStorage = getpeername(self.descriptor).ok()?;
        let v4 = address.as_sockaddr_in().map(|&v4| SocketAddr::V4(v4.into()));
        v4.or_else(|| address.as_sockaddr_in6().map(|&v6| SocketAddr::V6(v6.into())))
    }

    /// Whoever reads from it or writes to it gets an error or the end.
    pub(super) fn shut_down(self) {
        // It may have ended by itself.
        let _ = nix::sys::socket::shutdown(self.descriptor, nix::sys::socket::Shutdown::Both);
    }
}

#[cfg(unix)]
fn unknown(shown: &str) -> Fault {
    Fault::Unreachable(format!(
        "this build of pulpo cannot tell which socket its client crate has, and so could not end a wait for a silent \
         server: please report this with the text {shown:?}"
    ))
}

#[cfg(unix)]
impl std::io::Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        use nix::sys::socket::{MsgFlags, recv};
        Ok(recv(self.descriptor, buffer, MsgFlags::empty())?)
    }
}

#[cfg(unix)]
impl std::io::Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        use nix::sys::socket::{MsgFlags, send};
        // Where there is no such flag, a program that Rust starts ignores the signal.
        #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
        let flags = MsgFlags::MSG_NOSIGNAL;
        #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
        let flags = MsgFlags::empty();
        Ok(send(self.descriptor, bytes, flags)?)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(not(unix))]
impl Socket {
    pub(super) fn find(_: &str, _: &SocketAddr) -> Result<Self, Fault> {
        Ok(Self {})
    }

    pub(super) fn shut_down(self) {}
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    #[test]
    fn only_the_right_socket_is_found() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let stream = TcpStream::connect(address).unwrap();
        let shown = format!("{stream:?}");
        assert!(Socket::find(&shown, &address).is_ok(), "{shown}");
        let elsewhere = SocketAddr::new(address.ip(), address.port() ^ 1);
        for (shown, peer) in [(shown.as_str(), &elsewhere), ("TcpStream { fd: 0 }", &address), ("TcpStream", &address)]
        {
            assert!(Socket::find(shown, peer).is_err(), "{shown} {peer}");
        }
    }
}

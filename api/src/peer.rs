//! Whose process has the other end of a loopback connection.
//!
//! One question to the kernel by netlink (`sock_diag`), answered within the call that asks it. The daemon
//! asks at accept who connected; the CLI asks who it connected to, before it sends anything.

use std::io;
use std::net::SocketAddr;

/// The user that owns the TCP socket whose own end is `local` and whose far end is `remote`.
///
/// A connection that its server has not accepted yet is nobody's at the server's end: ask again.
///
/// For the one who connected to us, swap our stream's addresses: its local end is our far end. `None` when
/// that cannot be told: the socket is not on this machine or not in this network namespace, it has been
/// closed already (the kernel then names root, whoever it was), it is not IPv4, or this is not Linux. A
/// caller that cannot tell must ask for a token.
///
/// # Errors
///
/// The kernel did not take the question, or answered with something else. Says nothing about the socket.
pub fn uid_of(local: SocketAddr, remote: SocketAddr) -> io::Result<Option<u32>> {
    sys::uid_of(local, remote)
}

#[cfg(target_os = "linux")]
mod sys {
    use std::io;
    use std::net::{SocketAddr, SocketAddrV4};

    use rustix::io::Errno;
    use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
    use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

    // linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h, net/tcp_states.h
    const NLM_F_REQUEST: u16 = 1;
    const NLMSG_ERROR: u16 = 2;
    const SOCK_DIAG_BY_FAMILY: u16 = 20;
    const AF_INET: u8 = 2;
    const IPPROTO_TCP: u8 = 6;
    const ANY_STATE: u32 = u32::MAX;
    const NO_COOKIE: [u8; 8] = [0xff; 8];
    const TIME_WAIT: u8 = 6;
    const CLOSE: u8 = 7;
    const LISTEN: u8 = 10;

    /// Bytes of `struct nlmsghdr`.
    const HEAD: usize = 16;
    /// Bytes of `struct inet_diag_sockid`.
    const SOCKID: usize = 48;
    /// Bytes of `struct inet_diag_msg`: four of state, the socket id, then expires, rqueue, wqueue, uid and
    /// inode.
    const MESSAGE: usize = 4 + SOCKID + 20;
    const UID: usize = HEAD + 4 + SOCKID + 12;
    const INODE: usize = UID + 4;

    pub(super) fn uid_of(local: SocketAddr, remote: SocketAddr) -> io::Result<Option<u32>> {
        let (SocketAddr::V4(local), SocketAddr::V4(remote)) = (local, remote) else {
            return Ok(None);
        };
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            Some(SOCK_DIAG),
        )?;
        let kernel = SocketAddrNetlink::new(0, 0);
        rustix::net::sendto(&socket, &question(local, remote), SendFlags::empty(), &kernel)?;
        // The kernel has put its answer into our queue before `sendto` returned, so there is nothing to wait
        // for.
        let mut answer = [0; 512];
        let (_, length) = rustix::net::recv(&socket, answer.as_mut_slice(), RecvFlags::DONTWAIT)?;
        judge(answer.get(..length).unwrap_or(&answer), local, remote)
    }

    /// One `inet_diag_req_v2` for exactly this socket.
    fn question(local: SocketAddrV4, remote: SocketAddrV4) -> Vec<u8> {
        let mut text = Vec::with_capacity(HEAD + 8 + SOCKID);
        text.extend_from_slice(&u32::try_from(HEAD + 8 + SOCKID).expect("72").to_ne_bytes());
        text.extend_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        text.extend_from_slice(&NLM_F_REQUEST.to_ne_bytes());
        text.extend_from_slice(&[0; 8]); // sequence, port: one question, one answer
        text.extend_from_slice(&[AF_INET, IPPROTO_TCP, 0, 0]);
        text.extend_from_slice(&ANY_STATE.to_ne_bytes());
        text.extend_from_slice(&ends(local, remote));
        text.extend_from_slice(&[0; 4]); // any interface
        text.extend_from_slice(&NO_COOKIE);
        text
    }

    /// Both ports and both addresses as a socket id begins, in network order.
    fn ends(local: SocketAddrV4, remote: SocketAddrV4) -> [u8; 36] {
        let mut id = [0; 36];
        id[0..2].copy_from_slice(&local.port().to_be_bytes());
        id[2..4].copy_from_slice(&remote.port().to_be_bytes());
        id[4..8].copy_from_slice(&local.ip().octets());
        id[20..24].copy_from_slice(&remote.ip().octets());
        id
    }

    fn judge(answer: &[u8], local: SocketAddrV4, remote: SocketAddrV4) -> io::Result<Option<u32>> {
        let strange = || {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "the kernel's answer is not about a socket",
            )
        };
        let word = |at: usize| -> io::Result<u32> {
            let bytes = answer.get(at..at + 4).ok_or_else(strange)?;
            Ok(u32::from_ne_bytes(bytes.try_into().expect("four bytes")))
        };
        let kind = answer.get(4..6).ok_or_else(strange)?;
        match u16::from_ne_bytes(kind.try_into().expect("two bytes")) {
            SOCK_DIAG_BY_FAMILY if answer.len() >= HEAD + MESSAGE => {}
            NLMSG_ERROR => {
                let errno = word(HEAD)?.cast_signed().wrapping_neg();
                if Errno::from_raw_os_error(errno) == Errno::NOENT {
                    return Ok(None);
                }
                return Err(io::Error::from_raw_os_error(errno));
            }
            _ => return Err(strange()),
        }
        // A search that finds no connection goes on to listeners, and may come back with somebody else's.
        let state = answer[HEAD + 1];
        let this = answer[HEAD + 4..HEAD + 8] == ends(local, remote)[..4];
        // A socket that its owner has closed has no inode, and its uid reads 0: that is nobody, not root.
        if !this || matches!(state, TIME_WAIT | CLOSE | LISTEN) || word(INODE)? == 0 {
            return Ok(None);
        }
        Ok(Some(word(UID)?))
    }
}

#[cfg(not(target_os = "linux"))]
mod sys {
    use std::io;
    use std::net::SocketAddr;

    pub(super) fn uid_of(_: SocketAddr, _: SocketAddr) -> io::Result<Option<u32>> {
        Ok(None)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn both_ends_of_a_connection_are_ours_and_a_closed_one_is_nobodys() {
        let me = rustix::process::getuid().as_raw();
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (client_at, server_at) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
        assert_eq!(
            uid_of(client_at, server_at).unwrap(),
            Some(me),
            "the client's end, not accepted yet"
        );
        // The server's end belongs to nobody until it is accepted, and then to us.
        assert_eq!(
            uid_of(server_at, client_at).unwrap(),
            None,
            "the server's end, not accepted yet"
        );
        let (accepted, _) = listener.accept().unwrap();
        assert_eq!(uid_of(server_at, client_at).unwrap(), Some(me));
        drop(client);
        assert_eq!(uid_of(client_at, server_at).unwrap(), None, "closed by its owner");
        drop(accepted);
    }

    #[test]
    fn a_listener_is_not_taken_for_a_connection() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let nobody = "127.0.0.1:1".parse().unwrap();
        assert_eq!(uid_of(listener.local_addr().unwrap(), nobody).unwrap(), None);
        assert_eq!(uid_of(nobody, listener.local_addr().unwrap()).unwrap(), None);
        assert_eq!(uid_of("[::1]:1".parse().unwrap(), nobody).unwrap(), None);
    }
}

//! The line between a node and its successor: messages, some with descriptors, over a pair of Unix sockets.

use super::PATIENCE;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// One end of the line. Reading and writing block, but not for longer than [`PATIENCE`].
pub struct Line(OwnedFd);

/// Descriptors in one message at most.
pub const DESCRIPTORS: usize = 64;
/// Octets of a message at most; longer ones are cut.
const TEXT: usize = 32 * 1024;

impl Line {
    /// This process' end, and the other one's.
    pub fn pair() -> io::Result<(Line, OwnedFd)> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Line::of(ours)?, theirs))
    }

    /// The end that this process was started with as its standard input, of which nothing is left there.
    pub fn of_stdin() -> io::Result<Line> {
        let line = Line::of(rustix::stdio::stdin().try_clone_to_owned()?)?;
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
        Ok(line)
    }

    fn of(socket: OwnedFd) -> io::Result<Line> {
        set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
        set_socket_timeout(&socket, Timeout::Send, Some(PATIENCE))?;
        Ok(Line(socket))
    }

    /// Sends a message with so many descriptors as one may have.
    pub fn send(&self, text: &str, descriptors: &[OwnedFd]) -> io::Result<()> {
        let text = &text.as_bytes()[..text.len().min(TEXT)];
        let descriptors: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors for one message"));
        }
        rustix::io::retry_on_intr(|| sendmsg(&self.0, &[IoSlice::new(text)], &mut control, SendFlags::NOSIGNAL))?;
        Ok(())
    }

    /// The next message; an error when the other side has ended or says nothing for too long.
    pub fn receive(&self) -> io::Result<(String, Vec<OwnedFd>)> {
        let mut text = vec![0; TEXT];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = rustix::io::retry_on_intr(|| {
            recvmsg(&self.0, &mut [IoSliceMut::new(&mut text)], &mut control, RecvFlags::CMSG_CLOEXEC)
        });
        let octets = match received {
            Ok(received) => received.bytes,
            Err(rustix::io::Errno::AGAIN) => {
                let seconds = PATIENCE.as_secs();
                return Err(io::Error::new(io::ErrorKind::TimedOut, format!("no word for {seconds} seconds")));
            }
            Err(error) => return Err(error.into()),
        };
        if octets == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the process has ended"));
        }
        let mut descriptors = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        text.truncate(octets);
        Ok((String::from_utf8_lossy(&text).into_owned(), descriptors))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn messages_come_apart_with_their_descriptors() {
        let (line, other) = Line::pair().unwrap();
        let other = Line::of(other).unwrap();
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        line.send("one", &[theirs.into()]).unwrap();
        line.send("two", &[]).unwrap();
        drop(line);
        let (text, mut descriptors) = other.receive().unwrap();
        assert_eq!(text, "one");
        UnixStream::from(descriptors.remove(0)).write_all(b"x").unwrap();
        assert_eq!(ours.read(&mut [0; 2]).unwrap(), 1);
        assert_eq!(other.receive().unwrap().0, "two");
        assert_eq!(other.receive().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}

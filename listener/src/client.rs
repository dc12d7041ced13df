//! The connecting side: connections and requests with a deadline, whatever the listener does.

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Longest time that [`connect`] waits.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause between two attempts while the listener's backlog is full.
const RETRY_INTERVAL: Duration = Duration::from_millis(5);

/// Connects to a socket. Gives up after [`CONNECT_TIMEOUT`] (`TimedOut`) if the listener accepts nobody; the kernel would
/// wait forever.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    connect_within(path, CONNECT_TIMEOUT)
}

/// Connects to a socket without waiting (`WouldBlock` if the listener's backlog is full).
pub fn try_connect(path: &Path) -> io::Result<UnixStream> {
    let stream = connect_now(&SocketAddrUnix::new(path)?)?;
    stream.set_nonblocking(false)?;
    Ok(stream)
}

fn connect_now(address: &SocketAddrUnix) -> Result<UnixStream, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, address)?;
    Ok(UnixStream::from(socket))
}

fn connect_within(path: &Path, timeout: Duration) -> io::Result<UnixStream> {
    let deadline = Instant::now() + timeout;
    let address = SocketAddrUnix::new(path)?;
    loop {
        match connect_now(&address) {
            Ok(stream) => {
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            // The backlog is full (connect(2)).
            Err(Errno::AGAIN | Errno::INTR) if Instant::now() < deadline => {
                std::thread::sleep(RETRY_INTERVAL)
            }
            Err(Errno::AGAIN) => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "nobody accepts the connection"));
            }
            Err(e) => return Err(e.into()),
        }
    }
}

/// Sends a line and reads one line as the answer, within `timeout` in all, however slowly the peer writes. The answer is
/// empty if the peer closes the connection instead.
///
/// Errors: `TimedOut` or `WouldBlock`; `FileTooLarge` if the answer has more than `maximum` bytes; or the error of the socket.
pub fn request(
    stream: &mut BufReader<UnixStream>,
    line: &[u8],
    maximum: usize,
    timeout: Duration,
) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + timeout;
    let mut rest = line;
    while !rest.is_empty() {
        let stream = stream.get_mut();
        stream.set_write_timeout(Some(remaining(deadline)?))?;
        let n = stream.write(rest)?;
        rest = &rest[n..];
    }
    read_line(stream, maximum, deadline)
}

fn read_line(stream: &mut BufReader<UnixStream>, maximum: usize, deadline: Instant) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    while answer.last() != Some(&b'\n') {
        stream.get_mut().set_read_timeout(Some(remaining(deadline)?))?;
        let available = stream.fill_buf()?;
        if available.is_empty() {
            break;
        }
        let end = available.iter().position(|&b| b == b'\n').map_or(available.len(), |at| at + 1);
        answer.extend_from_slice(&available[..end]);
        stream.consume(end);
        if answer.len() > maximum {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
    }
    Ok(answer)
}

/// The time until a deadline; `TimedOut` after it.
fn remaining(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Our end of a connection whose other end a thread has.
    fn pair(other: impl FnOnce(UnixStream) + Send + 'static) -> BufReader<UnixStream> {
        let (ours, theirs) = UnixStream::pair().unwrap();
        std::thread::spawn(move || other(theirs));
        BufReader::new(ours)
    }

    #[test]
    fn an_answer_that_comes_a_byte_at_a_time_is_not_waited_for_longer() {
        let mut stream = pair(|mut stream| {
            while stream.write_all(b" ").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let begun = Instant::now();
        let outcome = request(&mut stream, b"?\n", 1 << 20, Duration::from_millis(200));
        assert!(outcome.is_err(), "{outcome:?}");
        assert!(begun.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn an_answer_without_an_end_is_refused() {
        let mut stream = pair(|mut stream| while stream.write_all(&[b' '; 65536]).is_ok() {});
        let outcome = request(&mut stream, b"?\n", 1 << 20, Duration::from_secs(60));
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_listener_that_accepts_nobody_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let timeout = Duration::from_millis(50);
        let waiting: Vec<_> = (0..10_000).map_while(|_| connect_within(&path, timeout).ok()).collect();
        assert!(!waiting.is_empty() && waiting.len() < 10_000);
        assert_eq!(connect_within(&path, timeout).unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}

//! The console's far end: a bounded buffer in front of a reader that may be slow, gone, or absent. Output that nobody
//! takes is dropped, oldest first, and counted; the guest never waits for a reader.
#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

/// Bytes kept for a slow reader, and for one that attaches later.
const KEPT: usize = 64 << 10;
/// A pipe that polls writable takes this much without blocking; a terminal takes less.
const PIPE_CHUNK: usize = 4096;
const TERMINAL_CHUNK: usize = 256;

/// Bytes with a bound.
#[derive(Default)]
struct Bounded {
    bytes: VecDeque<u8>,
    lost: u64,
}

impl Bounded {
    fn push(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(KEPT)..];
        let over = (self.bytes.len() + bytes.len()).saturating_sub(KEPT);
        self.bytes.drain(..over);
        self.lost += over as u64;
        self.bytes.extend(bytes);
    }
}

/// Standard output as the console's reader, and the history for those who attach.
pub struct Console {
    waiting: Bounded,
    history: Bounded,
    standard_output: bool,
    chunk: usize,
}

impl Console {
    /// A console that writes to standard output, or only keeps its history.
    pub fn new(standard_output: bool) -> Self {
        // SAFETY: a plain query.
        let terminal = unsafe { libc::isatty(libc::STDOUT_FILENO) } == 1;
        let chunk = if terminal { TERMINAL_CHUNK } else { PIPE_CHUNK };
        Self { waiting: Bounded::default(), history: Bounded::default(), standard_output, chunk }
    }

    /// Takes bytes from the guest; whether some wait for standard output to become writable.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        self.history.push(bytes);
        if !self.standard_output {
            return false;
        }
        self.waiting.push(bytes);
        self.flush()
    }

    /// Writes what standard output takes without blocking; whether some still waits.
    pub fn flush(&mut self) -> bool {
        while !self.waiting.bytes.is_empty() && writable(libc::STDOUT_FILENO, Duration::ZERO) {
            if self.waiting.lost > 0 {
                let note = format!("\n[{} bytes of console output lost]\n", self.waiting.lost);
                self.waiting.lost = 0;
                for b in note.bytes().rev() {
                    self.waiting.bytes.push_front(b);
                }
            }
            let front = self.waiting.bytes.as_slices().0;
            let chunk = &front[..front.len().min(self.chunk)];
            // SAFETY: writes from a live slice.
            let n = unsafe { libc::write(libc::STDOUT_FILENO, chunk.as_ptr().cast(), chunk.len()) };
            match n {
                n if n >= 0 => drop(self.waiting.bytes.drain(..n as usize)),
                _ if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
                _ => {
                    // The reader is gone.
                    self.standard_output = false;
                    self.waiting = Bounded::default();
                }
            }
        }
        !self.waiting.bytes.is_empty()
    }

    /// At the end: gives a slow reader a last moment.
    pub fn finish(&mut self) {
        let deadline = Instant::now() + Duration::from_millis(200);
        while self.flush() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !writable(libc::STDOUT_FILENO, left) {
                return;
            }
        }
    }

    /// Where the last output begins: bytes before it that are no longer kept.
    pub fn forgotten(&self) -> u64 {
        self.history.lost
    }

    /// The last output, for one who attaches now.
    pub fn history(&self) -> Vec<u8> {
        self.history.bytes.iter().copied().collect()
    }
}

fn writable(fd: i32, timeout: Duration) -> bool {
    let mut poll = libc::pollfd { fd, events: libc::POLLOUT, revents: 0 };
    // SAFETY: one valid `pollfd`.
    unsafe { libc::poll(&mut poll, 1, timeout.as_millis() as i32) == 1 }
}

/// Reads what there is without blocking longer than a ready descriptor does. `None`: nothing more will come.
pub fn read_ready(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> Option<usize> {
    // SAFETY: reads into a live slice.
    let n = unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
    if n > 0 {
        return Some(n as usize);
    }
    let again = [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted];
    (n < 0 && again.contains(&io::Error::last_os_error().kind())).then_some(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_output_is_kept() {
        let mut console = Console::new(false);
        console.write(&vec![b'a'; KEPT]);
        console.write(b"end");
        let history = console.history();
        assert_eq!(history.len(), KEPT);
        assert!(history.ends_with(b"aend"));
    }
}

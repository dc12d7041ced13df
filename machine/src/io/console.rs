//! The console's far end: a bounded buffer in front of a reader that may be slow, gone, or absent. Output that nobody
//! takes is dropped, oldest first, and counted; the guest never waits for a reader.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// Bytes kept for a slow reader, and for one that attaches later.
const HISTORY_MAXIMUM: usize = 64 << 10;
/// A pipe that polls writable takes this much without blocking; a terminal takes less.
const PIPE_CHUNK: usize = 4096;
const TERMINAL_CHUNK: usize = 256;

/// Bytes with a bound.
#[derive(Default)]
struct BoundedBuffer {
    bytes: VecDeque<u8>,
    lost: u64,
}

impl BoundedBuffer {
    fn push(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(HISTORY_MAXIMUM)..];
        let over = (self.bytes.len() + bytes.len()).saturating_sub(HISTORY_MAXIMUM);
        self.bytes.drain(..over);
        self.lost += over as u64;
        self.bytes.extend(bytes);
    }
}

/// Standard output as the console's reader, and the history for those who attach.
pub struct Console {
    waiting: BoundedBuffer,
    history: BoundedBuffer,
    standard_output: bool,
    chunk: usize,
}

impl Console {
    /// A console that writes to standard output, or only keeps its history.
    pub fn new(standard_output: bool) -> Self {
        let chunk = if rustix::termios::isatty(io::stdout()) { TERMINAL_CHUNK } else { PIPE_CHUNK };
        Self { waiting: BoundedBuffer::default(), history: BoundedBuffer::default(), standard_output, chunk }
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
        while !self.waiting.bytes.is_empty() && writable(Duration::ZERO) {
            if self.waiting.lost > 0 {
                let note = format!("\n[{} bytes of console output lost]\n", self.waiting.lost);
                self.waiting.lost = 0;
                for b in note.bytes().rev() {
                    self.waiting.bytes.push_front(b);
                }
            }
            let front = self.waiting.bytes.as_slices().0;
            let chunk = &front[..front.len().min(self.chunk)];
            match rustix::io::write(io::stdout(), chunk) {
                Ok(n) => drop(self.waiting.bytes.drain(..n)),
                Err(Errno::INTR) => {}
                Err(_) => {
                    // The reader is gone.
                    self.standard_output = false;
                    self.waiting = BoundedBuffer::default();
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
            if left.is_zero() || !writable(left) {
                return;
            }
        }
    }

    /// Where the last output begins: bytes before it that are no longer kept.
    pub fn dropped(&self) -> u64 {
        self.history.lost
    }

    /// The last output, for one who attaches now.
    pub fn history(&self) -> Vec<u8> {
        self.history.bytes.iter().copied().collect()
    }
}

/// Whether standard output can be written to within a time.
fn writable(timeout: Duration) -> bool {
    let (output, timeout) = (io::stdout(), Timespec::try_from(timeout).ok());
    poll(&mut [PollFd::new(&output, PollFlags::OUT)], timeout.as_ref()) == Ok(1)
}

/// Reads what there is without blocking longer than a ready descriptor does. `None`: nothing more will come.
pub fn read_ready(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> Option<usize> {
    match rustix::io::read(fd, buffer) {
        Ok(0) => None,
        Ok(n) => Some(n),
        Err(Errno::AGAIN | Errno::INTR) => Some(0),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_output_is_kept() {
        let mut console = Console::new(false);
        console.write(&vec![b'a'; HISTORY_MAXIMUM]);
        console.write(b"end");
        let history = console.history();
        assert_eq!(history.len(), HISTORY_MAXIMUM);
        assert!(history.ends_with(b"aend"));
    }
}

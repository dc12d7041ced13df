//! Standard output and standard error of the program, and its exit status when its reader has gone away.

use click::args::bytes_of;
use std::io::{self, Write as _};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Exit status of a program whose reader went away, as SIGPIPE would have it: 128 and the signal's number.
const BROKEN_PIPE: u8 = 141;
/// Exit status of one that cannot write what it was asked for.
const UNWRITTEN: u8 = 1;

/// Why standard output took no more.
static LOST: OnceLock<io::Error> = OnceLock::new();

/// What was written to standard output and has not gone there yet, all of it in order.
static OUTPUT: Mutex<Vec<u8>> = Mutex::new(Vec::new());
/// So much goes there at once.
const PIECE: usize = 64 << 10;

/// Writes to standard output, behind what [`StandardOutput`] holds. After a failure nothing is written any more, and the
/// program ends soon.
pub fn out(text: &str) {
    let mut out = StandardOutput;
    if let Err(e) = out.write_all(&bytes_of(text)).and_then(|()| out.flush()) {
        // Two may find out at the same time.
        let _ = LOST.set(e);
    }
}

/// Standard output for those who write much: it goes there in large pieces, and in the order in which it was written,
/// whoever wrote it.
pub struct StandardOutput;

impl io::Write for StandardOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut held = OUTPUT.lock().unwrap_or_else(PoisonError::into_inner);
        held.extend_from_slice(bytes);
        if held.len() < PIECE { Ok(bytes.len()) } else { send(&mut held).map(|()| bytes.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        send(&mut OUTPUT.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Writes what is held. After a failure it is held no more.
fn send(held: &mut Vec<u8>) -> io::Result<()> {
    let text = core::mem::take(held);
    if LOST.get().is_some() {
        return Ok(());
    }
    let mut out = io::stdout().lock();
    out.write_all(&text).and_then(|()| out.flush())
}

/// Writes what is held at the end of the program.
pub fn flush() {
    if let Err(e) = StandardOutput.flush() {
        let _ = LOST.set(e);
    }
}

/// Whether standard output takes no more.
pub fn output_is_lost() -> bool {
    LOST.get().is_some()
}

/// The exit status of a program whose standard output took no more, which says so unless its reader has gone away.
pub fn lost_output() -> Option<u8> {
    let error = LOST.get()?;
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Some(BROKEN_PIPE);
    }
    say(&format!("cannot write to standard output: {}", crate::files::reason(error)));
    Some(UNWRITTEN)
}

/// Writes a line to standard error. There is nowhere left to report that it cannot be written to.
pub fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

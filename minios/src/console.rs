//! The console.
//!
//! `print!` and `println!` send a message each. Text is dropped, and counted, while the ring is full because nobody
//! reads: a network function does not stall because of its console.

use crate::control;
use core::fmt::{self, Write};
use core::task::Poll;

/// Bytes of one message at the most; longer text goes in several.
const LINE: usize = 256;

/// Gathers text on the stack, so that a formatted line is one message.
struct Line {
    bytes: [u8; LINE],
    length: usize,
}

impl Line {
    fn flush(&mut self) {
        if self.length > 0 {
            control::console(&self.bytes[..self.length]);
            self.length = 0;
        }
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            if self.length == LINE {
                self.flush();
            }
            let n = rest.len().min(LINE - self.length);
            self.bytes[self.length..self.length + n].copy_from_slice(&rest[..n]);
            self.length += n;
            rest = &rest[n..];
        }
        Ok(())
    }
}

/// Prints, with a line's end behind it or without. What the macros call.
pub fn print(arguments: fmt::Arguments<'_>, end: &str) {
    let mut line = Line { bytes: [0; LINE], length: 0 };
    // The only error is one that a value's own formatting reports; what it wrote before goes out.
    let _ = match arguments.as_str() {
        Some(text) => line.write_str(text),
        None => line.write_fmt(arguments),
    };
    let _ = line.write_str(end);
    line.flush();
}

/// Prints bytes as they are.
pub fn write(bytes: &[u8]) {
    for chunk in bytes.chunks(4096) {
        control::console(chunk);
    }
}

/// Reads what was typed, without waiting; 0: nothing.
pub fn try_read(bytes: &mut [u8]) -> usize {
    control::read_input(bytes)
}

/// Waits until something was typed, and reads it.
pub async fn read(bytes: &mut [u8]) -> usize {
    core::future::poll_fn(|context| match control::read_input(bytes) {
        0 if !bytes.is_empty() => {
            control::await_input(context.waker());
            Poll::Pending
        }
        n => Poll::Ready(n),
    })
    .await
}

/// Prints to the console, as in `std`.
#[macro_export]
macro_rules! print {
    ($($argument:tt)*) => { $crate::console::print(::core::format_args!($($argument)*), "") };
}

/// Prints a line to the console, as in `std`.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($($argument:tt)*) => { $crate::console::print(::core::format_args!($($argument)*), "\n") };
}

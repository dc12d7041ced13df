//! What a panic ends in: a line on the console, and an exit code of its own.

use crate::{console, control, registers};
use core::panic::PanicInfo;

/// Prints the message with file and line, and ends the instance.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    control::drain_before_exit();
    let message = info.message();
    match info.location() {
        Some(at) => console::print(format_args!("panic at {}:{}: {message}", at.file(), at.line()), "\n"),
        None => console::print(format_args!("panic: {message}"), "\n"),
    }
    registers::end(abi::registers::EXIT_CODE_PANIC)
}

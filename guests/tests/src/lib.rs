//! What the test guests have in common.
//!
//! Each guest under `src/bin/` is named for what it does to the monitor. Where there are several ways, the word
//! `case=NAME` of its command line chooses one. A guest that should have been ended and was not ends by itself with
//! [`SURVIVED`].
#![no_std]

use minios::ExitCode;

/// Exit code: what should have ended the guest has not.
pub const SURVIVED: ExitCode = ExitCode(42);
/// Exit code: the command line asks for a case that the guest does not have.
pub const NO_SUCH_CASE: ExitCode = ExitCode(99);

/// The case that was asked for.
pub fn case() -> &'static str {
    minios::boot::variable("case").unwrap_or("")
}

/// Says that there is no such case.
pub fn no_such_case() -> ExitCode {
    minios::println!("no case '{}'", case());
    NO_SUCH_CASE
}

/// Says that the guest goes on although it should not.
pub fn survived() -> ExitCode {
    minios::println!("still here");
    SURVIVED
}

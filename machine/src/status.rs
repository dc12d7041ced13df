//! Exit statuses of `microvisor-vmm`, and of `microvisor run`, which passes them on.
//!
//! 0 to 119 are the guest's own; 128 + n: stopped by signal n.

/// Largest exit status that is a guest's own.
pub const GUEST_MAXIMUM: u8 = abi::registers::EXIT_CODE_MAXIMUM as u8;
/// The guest broke its contract; a report was printed.
pub const GUEST_FAULT: u8 = 120;
/// The image was refused before anything ran.
pub const IMAGE_REFUSED: u8 = 121;
/// The configuration or command line was refused before anything ran.
pub const CONFIGURATION_REFUSED: u8 = 122;
/// A permission is missing.
pub const PERMISSION: u8 = 123;
/// The host lacks something, or it is in use.
pub const HOST: u8 = 124;
/// The monitor itself failed.
pub const MONITOR: u8 = 125;
/// Base for signals.
pub const SIGNAL: u8 = 128;

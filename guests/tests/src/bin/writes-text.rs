//! A guest cannot write its text. Ends by a fault.
#![no_std]
#![no_main]

minios::image! { name: "writes-text", main: main }

fn main() -> minios::ExitCode {
    let text = main as fn() -> minios::ExitCode as *mut u8;
    // SAFETY: not at all: this is the attack.
    unsafe { text.write_volatile(0xc3) };
    tests::survived()
}

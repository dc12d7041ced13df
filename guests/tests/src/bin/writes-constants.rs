//! A guest can write neither its constants nor what the monitor gave it to read. Ends by a fault.
//!
//! Cases: `constant`, `header` (its ELF header), `boot` (the boot page), `words` (the command line).
#![no_std]
#![no_main]

minios::image! { name: "writes-constants", main: main }

static CONSTANT: [u64; 4] = [1, 2, 3, 4];

fn main() -> minios::ExitCode {
    let target = match tests::case() {
        "constant" => CONSTANT.as_ptr() as u64,
        "header" => minios::abi::layout::IMAGE_BASE,
        "boot" => core::ptr::from_ref(minios::boot::page()) as u64,
        "words" => minios::boot::page().command_line.base,
        _ => return tests::no_such_case(),
    };
    // SAFETY: not at all: this is the attack.
    unsafe { (target as *mut u8).write_volatile(7) };
    tests::survived()
}

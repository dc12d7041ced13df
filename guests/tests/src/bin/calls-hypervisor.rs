//! A hypercall has no effect: no service, and no rewriting of the guest's text. Ends by a fault, or with 0 if the
//! host refused the call and went on.
//!
//! Cases: `vmcall` (VT-x), `vmmcall` (SVM).
#![no_std]
#![no_main]

use core::arch::asm;

minios::image! { name: "calls-hypervisor", main: main }

/// Runs an instruction with no service's number in `rax`, and says where it is.
macro_rules! call {
    ($instruction:literal) => {{
        let at: *const [u8; 3];
        let result: u64;
        // SAFETY: not at all: this is the attack.
        unsafe {
            asm!("lea {}, [rip + 2f]", concat!("2: ", $instruction), out(reg) at,
                inout("rax") 0x7fff_ffffu64 => result)
        };
        (at, result)
    }};
}

fn main() -> minios::ExitCode {
    let (expected, (at, result)) = match tests::case() {
        "vmcall" => ([0x0f, 0x01, 0xc1], call!("vmcall")),
        "vmmcall" => ([0x0f, 0x01, 0xd9], call!("vmmcall")),
        _ => return tests::no_such_case(),
    };
    // SAFETY: the instruction's own three bytes.
    let found = unsafe { at.read_volatile() };
    if found != expected {
        minios::println!("text was rewritten: {found:x?}");
        return tests::SURVIVED;
    }
    minios::println!("refused: {:#x}", result);
    minios::ExitCode::SUCCESS
}

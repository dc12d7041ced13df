//! A guest whose stack pointer is nowhere still ends by a fault: gates use a stack of the monitor's.
//!
//! Cases: `fault` (an undefined instruction with `rsp` 0), `push` (a push with `rsp` 0), `odd` (an undefined
//! instruction with a stack pointer that is not canonical), `monitor` (a push with `rsp` in the monitor's pages).
#![no_std]
#![no_main]

use core::arch::asm;

minios::image! { name: "loses-stack", main: main }

fn main() -> minios::ExitCode {
    // SAFETY: not at all: nothing works afterwards, and nothing comes afterwards.
    unsafe {
        match tests::case() {
            "fault" => asm!("xor esp, esp", "ud2", options(noreturn)),
            "push" => asm!("xor esp, esp", "push rax", "ud2", options(noreturn)),
            "odd" => asm!("mov rsp, {}", "ud2", in(reg) 1u64 << 63, options(noreturn)),
            "monitor" => {
                asm!("mov rsp, {}", "2: push rax", "jmp 2b",
                    in(reg) minios::abi::layout::IMAGE_BASE, options(noreturn))
            }
            _ => tests::no_such_case(),
        }
    }
}

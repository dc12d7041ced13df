//! Registers take aligned stores of exactly their size; anything else is a guest fault. Ends by a fault, except
//! `doorbell` (right use of the control doorbell), which ends with 0.
//!
//! Cases: `yield-4`, `yield-2`, `ready-8`, `ready-1`, `exit-8`, `exit-1`, `doorbell-8`, `doorbell-1`,
//! `doorbell-unused`, `hole` (between registers), `last` (last word of the page), `misaligned`, `straddle` (across both
//! pages), `load`, `load-doorbell`, `sse`, `avx` (SSE without AVX), `string`, `exchange`, `add`, `push`, `execute`,
//! `fault-register` (reports itself dead).
#![no_std]
#![no_main]

use core::arch::asm;
use minios::abi::layout::DOORBELL_PAGE;
use minios::abi::registers::{EXIT, FAULT, READY, YIELD, doorbell};

minios::image! { name: "abuses-registers", main: main }

macro_rules! store {
    ($address:expr, $pattern:literal) => {
        // SAFETY: not at all: this is the attack.
        unsafe { asm!(concat!("mov [{at}], ", $pattern), at = in(reg) $address, value = in(reg_abcd) 0u64) }
    };
}

/// Any instruction on an address in `rdi`.
macro_rules! run {
    ($address:expr, $($line:literal),+) => {
        // SAFETY: not at all: this is the attack.
        unsafe { asm!($($line),+, inout("rdi") $address => _, inout("rcx") 1u64 => _, inout("rax") 0u64 => _,
            out("xmm0") _) }
    };
}

fn main() -> minios::ExitCode {
    match tests::case() {
        "yield-4" => store!(YIELD, "{value:e}"),
        "yield-2" => store!(YIELD, "{value:x}"),
        "ready-8" => store!(READY, "{value:r}"),
        "ready-1" => store!(READY, "{value:l}"),
        "exit-8" => store!(EXIT, "{value:r}"),
        "exit-1" => store!(EXIT, "{value:l}"),
        "doorbell-8" => store!(doorbell(0), "{value:r}"),
        "doorbell-1" => store!(doorbell(0), "{value:l}"),
        "doorbell-unused" => store!(doorbell(900), "{value:e}"),
        "doorbell" => {
            store!(doorbell(0), "{value:e}");
            return minios::ExitCode::SUCCESS;
        }
        "hole" => store!(YIELD + 0x20, "{value:e}"),
        "last" => store!(DOORBELL_PAGE - 4, "{value:e}"),
        "misaligned" => store!(READY + 2, "{value:e}"),
        "straddle" => store!(DOORBELL_PAGE - 2, "{value:e}"),
        "load" => run!(READY, "mov eax, [rdi]"),
        "load-doorbell" => run!(doorbell(0), "mov eax, [rdi]"),
        "sse" => run!(YIELD, "pxor xmm0, xmm0", "movaps [rdi], xmm0"),
        "avx" if minios::boot::page().cpu_level >= 3 => {
            run!(YIELD, "vpxor xmm0, xmm0, xmm0", "vmovaps [rdi], ymm0")
        }
        "avx" => run!(READY, "pxor xmm0, xmm0", "movups [rdi], xmm0"),
        "string" => run!(YIELD, "mov ecx, 8", "rep stosq"),
        "exchange" => run!(READY, "xchg [rdi], eax"),
        "add" => run!(READY, "lock add dword ptr [rdi], 1"),
        "push" => run!(READY + 8, "mov rsp, rdi", "push rax", "ud2"),
        "execute" => run!(DOORBELL_PAGE, "jmp rdi"),
        "fault-register" => store!(FAULT + 8 * 13, "{value:e}"),
        _ => return tests::no_such_case(),
    }
    tests::survived()
}

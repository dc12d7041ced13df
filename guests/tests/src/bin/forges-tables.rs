//! A guest cannot bring a descriptor table of its own. Ends by a fault.
//!
//! Cases: `lgdt`, `lidt`, `lldt`, `ltr`, `at-zero` (gates forged at address 0, where a processor without table would
//! look), `stub` (a jump to the monitor's own fault stub), `call-gate` (a far call through the first selectors), `in-place` (a store to the monitor's page number `page=N`).
#![no_std]
#![no_main]

use core::arch::asm;

minios::image! { name: "forges-tables", main: main }

/// A limit and a base, as `lgdt` takes them.
#[repr(C, packed)]
struct Table(u16, u64);

fn main() -> minios::ExitCode {
    let gates = [0xffff_8e00_0008_0000u64; 512];
    let table = Table(4095, gates.as_ptr() as u64);
    let pointer = &raw const table;
    // SAFETY: not at all: this is the attack.
    unsafe {
        match tests::case() {
            "lgdt" => asm!("lgdt [{}]", in(reg) pointer),
            "lidt" => asm!("lidt [{}]", "int 0x30", in(reg) pointer),
            "lldt" => asm!("lldt {:x}", in(reg) 8u32),
            "ltr" => asm!("ltr {:x}", in(reg) 8u32),
            "at-zero" => asm!("mov [{at}], {gate}", "int 0", at = in(reg) 0u64, gate = in(reg) gates[0]),
            "call-gate" => {
                for selector in (8..64u16).step_by(8) {
                    let far = Table(0, u64::from(selector) << 32);
                    // Offset 0, then the selector, from the second byte on.
                    asm!("call fword ptr [{}]", in(reg) (&raw const far).cast::<u8>().add(2));
                }
            }
            "in-place" => {
                let start = minios::abi::layout::MONITOR_BASE;
                let page = minios::boot::variable("page").and_then(|p| p.parse::<u64>().ok()).unwrap_or(0);
                asm!("mov [{}], {}", in(reg) start + 4096 * page, in(reg) gates[0]);
            }
            "stub" => {
                // The fault stub of #GP, with a frame that claims what it likes: a false report, and the end.
                let stub = minios::abi::layout::MONITOR_BASE + 0x1000 + 13 * 16;
                asm!("jmp {}", in(reg) stub)
            }
            _ => return tests::no_such_case(),
        }
    }
    tests::survived()
}

//! A guest can read its own memory and nothing else. Ends by a fault.
//!
//! Cases: `null`, `low` (last word below 64 KiB), `hole` (between device pages and monitor), `monitor` (first of the
//! monitor's pages), `tables` (its page tables), `behind-image`,
//! `beyond` (first byte behind its memory), `far` (1 TiB), `kernel` (the upper half), `odd` (not canonical).
#![no_std]
#![no_main]

use minios::abi::layout::{DATA_BASE, MONITOR_BASE};

minios::image! { name: "reads-outside", main: main }

fn main() -> minios::ExitCode {
    let memory = minios::boot::page().memory;
    let target = match tests::case() {
        "null" => 0,
        "low" => 0xfff8,
        "hole" => 0x18_0000,
        "monitor" => MONITOR_BASE,
        "tables" => MONITOR_BASE + 0x3000,
        "behind-image" => DATA_BASE - 8,
        "beyond" => memory.base + memory.length,
        "far" => 1 << 40,
        "kernel" => 0xffff_8000_0000_0000,
        "odd" => 0x8000_0000_0000_0000,
        _ => return tests::no_such_case(),
    };
    let value: u64;
    // SAFETY: not at all: this is the attack. Assembly, since a compiler may do anything with a null pointer.
    unsafe { core::arch::asm!("mov {}, [{}]", out(reg) value, in(reg) target) };
    minios::println!("{target:#x} holds {value:#x}");
    tests::survived()
}

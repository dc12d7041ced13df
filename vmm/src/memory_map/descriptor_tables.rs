//! The descriptor tables of the processor (GDT, TSS, IDT) and the fault gates: for each vector, a stub that writes to the fault
//! register with the vector's number.

use abi::layout::{MONITOR_BASE, PAGE_SIZE};
use abi::registers::{FAULT, FAULT_STRIDE, FAULT_VECTORS};
use machine::memory::{GuestPhys, Outside, Region};

/// Global descriptor table.
pub const GDT: u64 = MONITOR_BASE;
/// Size of the table, bytes.
pub const GDT_BYTES: u64 = 0x50;
/// Task state segment: one interrupt stack, no I/O bitmap.
pub const TSS: u64 = MONITOR_BASE + 0x100;
/// Limit of the task state segment.
pub const TSS_LIMIT: u32 = 0x67;
/// Interrupt descriptor table.
pub const IDT: u64 = MONITOR_BASE + 0x200;
/// Size of the table, bytes.
pub const IDT_BYTES: u64 = 16 * FAULT_VECTORS;
/// First byte of the page of fault stubs.
pub const STUBS: u64 = MONITOR_BASE + 0x1000;
const STUB_BYTES: u64 = 16;
/// First byte of the page of the fault stack.
pub const FAULT_STACK: u64 = MONITOR_BASE + 0x2000;
/// Addresses of the fault stubs. Only a write to a fault register from here comes from a fault gate.
pub const FAULT_STUBS: std::ops::Range<u64> = STUBS..STUBS + PAGE_SIZE;
/// End of the exception frame: `ss` is in the 8 bytes below.
pub const FAULT_STACK_TOP: u64 = FAULT_STACK + PAGE_SIZE;
/// User code, 64-bit, DPL 3.
pub const CODE_SELECTOR: u16 = 0x33;
/// User data, DPL 3.
pub const DATA_SELECTOR: u16 = 0x2b;
/// Task state segment.
pub const TSS_SELECTOR: u16 = 0x40;

/// Address of the fault stub of `vector`.
const fn stub(vector: u64) -> u64 {
    STUBS + vector * STUB_BYTES
}

/// Writes the tables and the stubs into the monitor's region.
pub fn build(region: &Region) -> Result<(), Outside> {
    let put = |address: u64, value: u64| region.write_value(GuestPhys(address), &value);
    // Present, DPL 3, accessed: data (0xf3), and 64-bit code (0xfb, L).
    put(GDT + u64::from(DATA_SELECTOR & !7), 0x00cf_f300_0000_ffff)?;
    put(GDT + u64::from(CODE_SELECTOR & !7), 0x00af_fb00_0000_ffff)?;
    // Busy 64-bit TSS (0x8b), 16 bytes.
    let low = u64::from(TSS_LIMIT) | (TSS & 0xff_ffff) << 16 | 0x8b << 40 | (TSS >> 24 & 0xff) << 56;
    put(GDT + u64::from(TSS_SELECTOR), low)?;
    put(GDT + u64::from(TSS_SELECTOR) + 8, TSS >> 32)?;
    // IST1 lies at offset 36, across two aligned words; the I/O bitmap's offset, at 102, is the limit + 1.
    region.write(GuestPhys(TSS + 36), &FAULT_STACK_TOP.to_le_bytes())?;
    region.write(GuestPhys(TSS + 102), &(TSS_LIMIT as u16 + 1).to_le_bytes())?;

    for vector in 0..FAULT_VECTORS {
        let target = stub(vector);
        let dpl: u64 = if vector == 3 { 3 } else { 0 };
        let gate = (target & 0xffff)
            | u64::from(CODE_SELECTOR) << 16
            | 1 << 32
            | (0x8e | dpl << 5) << 40
            | (target >> 16 & 0xffff) << 48;
        put(IDT + 16 * vector, gate)?;
        put(IDT + 16 * vector + 8, target >> 32)?;
        let register = (FAULT + vector * FAULT_STRIDE) as u32;
        // mov [register], eax; jmp $
        let mut code = [0x89, 0x04, 0x25, 0, 0, 0, 0, 0xeb, 0xfe];
        code[3..7].copy_from_slice(&register.to_le_bytes());
        region.write(GuestPhys(target), &code)?;
    }
    Ok(())
}

//! What the kernel is told at entry, by Linux's 64-bit boot protocol (Documentation/arch/x86/boot.rst): the zero page, the
//! command line, and identity page tables for the first 4 GiB.

use super::acpi;
use super::kernel::Kernel;
use crate::layout::*;
use crate::memory::Memory;
use linux_loader::bootparam::{boot_e820_entry, boot_params};
use machine::error::Error;
use machine::memory::GuestPhys;
use std::ops::Range;
use vm_memory::{ByteValued, Bytes, GuestAddress};

/// Kinds of memory in the kernel's map.
const USABLE: u32 = 1;
const RESERVED: u32 = 2;

/// Present, writable.
const TABLE: u64 = 3;
/// Present, writable, 2 MiB.
const LARGE: u64 = 0x83;

/// The whole BIOS, in real mode: `mov dx, RESET_PORT; mov al, 1; out dx, al; hlt`.
const BIOS: [u8; 7] = [0xba, RESET_PORT as u8, (RESET_PORT >> 8) as u8, 0xb0, acpi::RESET, 0xee, 0xf4];

/// Writes all of it. `initrd` is empty without one.
pub fn write(memory: &Memory, kernel: &Kernel, initrd: Range<u64>, command_line: &str) -> Result<(), Error> {
    if command_line.len() >= COMMAND_LINE_MAXIMUM || command_line.contains('\0') {
        let most = COMMAND_LINE_MAXIMUM - 1;
        return Err(Error::Configuration(format!("the command line may have up to {most} bytes")));
    }
    let region = &memory.region;
    region.write(GuestPhys(COMMAND_LINE), command_line.as_bytes())?;
    region.write(GuestPhys(COMMAND_LINE + command_line.len() as u64), &[0])?;
    let mut zero_page = boot_params { hdr: kernel.header, acpi_rsdp_addr: ACPI, ..Default::default() };
    zero_page.hdr.boot_flag = 0xaa55;
    zero_page.hdr.type_of_loader = 0xff;
    zero_page.hdr.cmd_line_ptr = COMMAND_LINE as u32;
    zero_page.hdr.cmdline_size = command_line.len() as u32 + 1;
    zero_page.hdr.ramdisk_image = initrd.start as u32;
    zero_page.hdr.ramdisk_size = (initrd.end - initrd.start) as u32;
    let map = [
        (0..LOW_END, USABLE),
        (LOW_END..HIGH, RESERVED),
        (HIGH..memory.length(), USABLE),
        (DEVICES..1 << 32, RESERVED),
    ];
    for (entry, (range, kind)) in zero_page.e820_table.iter_mut().zip(&map) {
        *entry = boot_e820_entry { addr: range.start, size: range.end - range.start, r#type: *kind };
    }
    zero_page.e820_entries = map.len() as u8;
    debug_assert_eq!(zero_page.as_slice().len() as u64, PAGE);
    let written = memory.view().write_obj(zero_page, GuestAddress(ZERO_PAGE));
    written.map_err(|e| Error::Configuration(format!("the zero page: {e}")))?;
    memory.region.write(GuestPhys(BIOS_ENTRY), &BIOS)?;
    page_tables(memory)
}

/// Maps the first 4 GiB to themselves.
fn page_tables(memory: &Memory) -> Result<(), Error> {
    let entry = |table: u64, index: u64, value: u64| {
        memory.region.write_value(GuestPhys(PAGE_TABLES + table * PAGE + index * 8), &value)
    };
    entry(0, 0, (PAGE_TABLES + PAGE) | TABLE)?;
    for gib in 0..4 {
        entry(1, gib, (PAGE_TABLES + (2 + gib) * PAGE) | TABLE)?;
        for page in 0..512 {
            entry(2 + gib, page, ((gib << 30) + (page << 21)) | LARGE)?;
        }
    }
    Ok(())
}

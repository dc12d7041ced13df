//! The monitor's pages in the guest-physical space, and the page tables (W^X).
//!
//! ```text
//! MONITOR_BASE + 0x0000   GDT, TSS, IDT   supervisor, read-only
//!              + 0x1000   fault stubs     user, read-execute
//!              + 0x2000   fault stack     user, read-write
//!              + 0x3000   page tables     not mapped
//! ```
//! Constants and text in large pages ([`crate::image::large_pages`]) are both read-execute: a page has one access.
//!
//! Accessed and Dirty are set in all entries, so that the processor never writes to the page tables.

use super::descriptor_tables::{self, FAULT_STACK, GDT, STUBS};
use super::layout::Layout;
use crate::image::{Access, Image};
use abi::layout::{DEVICE_PAGE, DOORBELL_PAGE, IMAGE_BASE, MONITOR_BASE, PAGE_SIZE};
use machine::error::Error;
use machine::memory::{GuestPhys, LARGE_PAGE, Outside, Region};

/// Root page table.
pub const ROOT: u64 = MONITOR_BASE + 0x3000;

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const LEAF: u64 = PRESENT | ACCESSED | DIRTY;

/// Builds the monitor's region for one instance. `large_image`: large pages map the image's read-only part, and all their bytes
/// are present.
pub fn build(image: &Image, layout: &Layout, large_image: bool) -> Result<Region, Error> {
    let tables = tables_needed(image, layout);
    let length = ROOT - MONITOR_BASE + tables * PAGE_SIZE;
    if MONITOR_BASE + length > IMAGE_BASE {
        return Err(Error::image("has more data and text than page tables are kept for"));
    }
    let region = Region::private(GuestPhys(MONITOR_BASE), length)?;
    descriptor_tables::build(&region)?;
    let mut tables = Tables { region: &region, next: ROOT + PAGE_SIZE };
    map(&mut tables, image, layout, large_image)?;
    Ok(region)
}

fn tables_needed(image: &Image, layout: &Layout) -> u64 {
    let end = layout.memory.base + layout.memory.length;
    let directories = end.div_ceil(1 << 30);
    let image_tables = image.mapped_length().div_ceil(LARGE_PAGE) + 1;
    let data_tables = (layout.heap.base - layout.memory.base).div_ceil(LARGE_PAGE) + 2;
    // Root, pointers, the tables for registers and for these pages.
    4 + directories + image_tables + data_tables
}

fn map(tables: &mut Tables<'_>, image: &Image, layout: &Layout, large_image: bool) -> Result<(), Outside> {
    for page in [DEVICE_PAGE, DOORBELL_PAGE] {
        tables.map(page, PAGE_SIZE, USER | WRITABLE | NO_EXECUTE)?;
    }
    tables.map(GDT, PAGE_SIZE, NO_EXECUTE)?;
    tables.map(STUBS, PAGE_SIZE, USER)?;
    tables.map(FAULT_STACK, PAGE_SIZE, USER | WRITABLE | NO_EXECUTE)?;
    if large_image {
        tables.map(IMAGE_BASE, image.large_length(), USER)?;
    }
    for s in image.segments.iter().filter(|s| s.access == Access::Write || !large_image) {
        let flags = match s.access {
            Access::Read => USER | NO_EXECUTE,
            Access::Execute => USER,
            Access::Write => USER | WRITABLE | NO_EXECUTE,
        };
        tables.map(s.address, s.page_end() - s.address, flags)?;
    }
    let data = USER | WRITABLE | NO_EXECUTE;
    tables.map(layout.stack.base, layout.stack.length, data)?;
    let constant = layout.read_only();
    tables.map(constant.base, constant.length, USER | NO_EXECUTE)?;
    let rest = layout.memory.base + layout.memory.length - layout.guest_page;
    tables.map(layout.guest_page, rest, data)
}

struct Tables<'a> {
    region: &'a Region,
    next: u64,
}

impl Tables<'_> {
    /// Identity-maps a range, with large pages where they fit.
    fn map(&mut self, address: u64, length: u64, flags: u64) -> Result<(), Outside> {
        let (mut at, end) = (address, address + length);
        while at < end {
            let directory = self.directory(at)?;
            let slot = (at >> 21) & 511;
            if at.is_multiple_of(LARGE_PAGE) && end - at >= LARGE_PAGE {
                self.set(directory, slot, at | flags | LEAF | LARGE)?;
                at += LARGE_PAGE;
            } else {
                let table = self.below(directory, slot)?;
                self.set(table, (at >> 12) & 511, at | flags | LEAF)?;
                at += PAGE_SIZE;
            }
        }
        Ok(())
    }

    fn directory(&mut self, address: u64) -> Result<u64, Outside> {
        let pointers = self.below(ROOT, (address >> 39) & 511)?;
        self.below(pointers, (address >> 30) & 511)
    }

    /// The table to which entry `index` of `table` points. Creates it if there is none.
    fn below(&mut self, table: u64, index: u64) -> Result<u64, Outside> {
        let entry: u64 = self.region.read_value(GuestPhys(table + 8 * index))?;
        if entry & PRESENT != 0 {
            return Ok(entry & ADDRESS);
        }
        let new = self.next;
        self.next += PAGE_SIZE;
        self.set(table, index, new | PRESENT | WRITABLE | USER | ACCESSED)?;
        Ok(new)
    }

    fn set(&self, table: u64, index: u64, entry: u64) -> Result<(), Outside> {
        self.region.write_value(GuestPhys(table + 8 * index), &entry)
    }
}

//! A guest that is prepared before anybody has asked for it: what needs no identity is done ahead, and the rest waits for
//! the message by which the monitor says that the boot page is complete.
#![allow(unsafe_code)]

use crate::{boot, control};
use abi::boot::{BootPage, Queue};
use abi::layout::PAGE_SIZE;
use abi::virtqueue::{available_bytes, descriptors_bytes, used_bytes};

/// Does what can be done ahead, and waits. The boot page is complete afterwards.
pub(crate) fn wait(ahead: impl FnOnce()) {
    ahead();
    touch(boot::page());
    control::await_assignment();
    boot::complete();
}

/// Touches the pages of the queues, and what the monitor will write: a first touch takes several microseconds, which the
/// start need not wait for.
fn touch(page: &BootPage) {
    for device in boot::net_devices() {
        for Queue { descriptors, available, used, size, .. } in [device.receive, device.transmit] {
            // Nothing is in them yet, and no device looks at them.
            write(descriptors, descriptors_bytes(size));
            write(available, available_bytes(size));
            write(used, used_bytes(size));
        }
    }
    let constant = boot::monitor_page();
    read(constant, page.guest_page - constant);
}

fn pages(base: u64, length: u64) -> impl Iterator<Item = *mut u8> {
    let first = base & !(PAGE_SIZE - 1);
    (first..base + length).step_by(PAGE_SIZE as usize).map(move |page| page.max(base) as *mut u8)
}

/// Writes what is there, once a page.
fn write(base: u64, length: u64) {
    for byte in pages(base, length) {
        // SAFETY: a byte of a queue, which the monitor has laid out for this guest and which nothing points to yet.
        unsafe { byte.write_volatile(byte.read_volatile()) };
    }
}

/// Reads a byte a page.
fn read(base: u64, length: u64) {
    for byte in pages(base, length) {
        // SAFETY: a byte of the pages from the boot page to the guest page, which are mapped to be read.
        unsafe { byte.read_volatile() };
    }
}

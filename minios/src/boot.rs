//! The boot page with the command line and the configuration, and the guest page with boot marks and counters.
#![allow(unsafe_code)]

use crate::clock;
use crate::global::Global;
use abi::boot::{BootPage, FLAG_PREPARED, GuestPage, NetDevice, Range};
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// The boot page, or the copy of it that a prepared guest has until it is complete.
static PAGE: AtomicPtr<BootPage> = AtomicPtr::new(core::ptr::null_mut());
/// The boot page where the monitor has laid it out.
static MONITOR_PAGE: AtomicPtr<BootPage> = AtomicPtr::new(core::ptr::null_mut());
/// The page as a prepared guest found it.
static COPY: Global<MaybeUninit<BootPage>> = Global::new(MaybeUninit::uninit());

/// Remembers the boot page; whether the guest is prepared, and the page will change once more. Called once, at entry.
///
/// # Safety
/// `page` is what the monitor passed at entry.
#[cfg_attr(test, allow(dead_code))]
pub(crate) unsafe fn init(page: *const BootPage) -> bool {
    MONITOR_PAGE.store(page.cast_mut(), Ordering::Relaxed);
    // SAFETY: the monitor has laid out a boot page there, and does not write it before this guest yields.
    let (flags, copy) = unsafe { ((&raw const (*page).flags).read_volatile(), page) };
    let prepared = flags & FLAG_PREPARED != 0;
    let kept = if prepared {
        // References into the page itself would be to what changes.
        // SAFETY: as above; nobody has a reference to the copy yet.
        COPY.with(|kept| unsafe { core::ptr::from_mut(kept.write(copy.read_volatile())) })
    } else {
        page.cast_mut()
    };
    PAGE.store(kept, Ordering::Relaxed);
    prepared
}

/// Where the monitor has laid out the boot page.
#[cfg_attr(test, allow(dead_code))]
pub(crate) fn monitor_page() -> u64 {
    MONITOR_PAGE.load(Ordering::Relaxed) as u64
}

/// The monitor has written the boot page for the last time.
#[cfg_attr(test, allow(dead_code))]
pub(crate) fn complete() {
    PAGE.store(MONITOR_PAGE.load(Ordering::Relaxed), Ordering::Relaxed);
}

/// The boot page.
pub fn page() -> &'static BootPage {
    let page = PAGE.load(Ordering::Relaxed);
    assert!(!page.is_null(), "no boot page: this is not a guest");
    // SAFETY: the page that the monitor laid out, which stays and does not change as long as the guest runs, or the copy of
    // one that will change, which does not either.
    unsafe { &*page }
}

fn bytes(range: Range) -> &'static [u8] {
    if range.length == 0 {
        return &[];
    }
    // SAFETY: the boot page's ranges lie in guest memory, and these two are read-only and stay.
    unsafe { core::slice::from_raw_parts(range.base as *const u8, range.length as usize) }
}

/// The words of the command line, as `(NAME, VALUE)`.
pub fn variables() -> impl Iterator<Item = (&'static str, &'static str)> {
    words(bytes(page().command_line))
}

/// The last value that the command line gives to a name.
pub fn variable(name: &str) -> Option<&'static str> {
    variables().filter(|&(n, _)| n == name).map(|(_, value)| value).last()
}

fn words(line: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    line.split(|&b| b == 0)
        .filter_map(|word| core::str::from_utf8(word).ok())
        .filter_map(|word| word.split_once('='))
}

/// The configuration; empty if there is none.
pub fn config() -> &'static [u8] {
    bytes(page().config)
}

/// The net devices of this instance.
pub fn net_devices() -> &'static [NetDevice] {
    let page = page();
    &page.net[..(page.net_count as usize).min(page.net.len())]
}

fn guest_word(index: usize) -> &'static AtomicU64 {
    let base = page().guest_page as *const AtomicU64;
    // SAFETY: the guest page is mapped for as long as the guest runs, and holds more words than there are indices
    // (both callers check theirs); all its words are written whole.
    unsafe { &*base.add(index) }
}

const _: () = assert!(core::mem::offset_of!(GuestPage, counters) == 8 * abi::boot::MARKS);

/// Stamps a boot mark with the time.
pub fn mark(index: usize) {
    mark_at(index, clock::tsc().0);
}

pub(crate) fn mark_at(index: usize, stamp: u64) {
    if index < abi::boot::MARKS {
        guest_word(index).store(stamp, Ordering::Relaxed);
    }
}

/// Sets one of the counters that the monitor shows.
pub fn set_counter(index: usize, value: u64) {
    if index < abi::boot::COUNTERS {
        guest_word(abi::boot::MARKS + index).store(value, Ordering::Relaxed);
    }
}

/// One of the counters that the monitor shows.
pub fn counter(index: usize) -> u64 {
    if index < abi::boot::COUNTERS { guest_word(abi::boot::MARKS + index).load(Ordering::Relaxed) } else { 0 }
}

/// Adds to one of the counters that the monitor shows.
pub fn add_to_counter(index: usize, more: u64) {
    if index < abi::boot::COUNTERS {
        let word = guest_word(abi::boot::MARKS + index);
        word.store(word.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_split_into_names_and_values() {
        let line = b"case=null\0empty=\0odd\0A=b=c\0";
        let found: Vec<_> = words(line).collect();
        assert_eq!(found, [("case", "null"), ("empty", ""), ("A", "b=c")]);
    }
}

//! The read-only part of an image in pages of 2 MiB. Where KVM uses shadow page tables, the guest's first access to each page is
//! an exit of 30 to 40 µs. A ClickOS guest accesses 170 small pages before it is ready, but only one large page.
//!
//! A starter of many instances copies the file to memory once ([`copy`]), and all instances map the copy. The copy is sealed, so
//! the instances run what was checked even if the file changes. A monitor that gets an ordinary file makes a copy of its own if
//! large pages are available ([`available`]).

use super::Image;
use machine::error::Error;
use machine::memory::{LARGE_PAGE, sealed};
use std::fs::File;

/// Least text and constants, bytes, for large pages. Guests of smaller images access few pages before they are ready.
const WORTHWHILE: u64 = 256 << 10;
/// The kernel's setting of transparent huge pages; the word in brackets is the current value.
const ENABLED: &str = "/sys/kernel/mm/transparent_hugepage/enabled";

/// Whether an image has so many small pages that large pages are faster.
pub fn is_worthwhile(image: &Image) -> bool {
    image.mapped_length() >= WORTHWHILE
}

/// Whether an image's file is long enough to be mapped with large pages, as a [`copy`] is.
pub fn fits_file(image: &Image) -> bool {
    image.file_length >= image.large_length()
}

/// Whether transparent huge pages are enabled for processes that ask for them.
pub fn available() -> bool {
    std::fs::read_to_string(ENABLED).is_ok_and(|text| !text.contains("[never]"))
}

/// Copies the image's file to sealed memory, in large pages where the kernel can allocate some.
pub fn copy(image: &Image) -> Result<File, Error> {
    let length = image.file_length.max(image.large_length()).next_multiple_of(LARGE_PAGE);
    sealed::copy(&image.file, image.file_length, length)
}

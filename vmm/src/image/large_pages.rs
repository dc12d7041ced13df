//! The read-only part of an image in pages of 2 MiB. Where KVM keeps shadow page tables, a guest's first touch of each page is
//! an exit of 30 to 40 µs, and a guest touches 170 of the small pages of ClickOS before it is ready; of a large page it is one.
//!
//! A starter of many instances copies the file to memory once ([`copy`]) and has all of them map that. Nobody can change the
//! copy, so they run what was checked, whatever becomes of the file. A monitor that is given an ordinary file makes a copy
//! of its own, where the host gives it large pages ([`are_given`]).

use super::Image;
use machine::error::Error;
use machine::memory::{LARGE_PAGE, sealed};
use std::fs::File;

/// Images with less text and constants than this, bytes, touch few pages before they are ready.
const WORTHWHILE: u64 = 256 << 10;
/// What the kernel says of its large pages; the word in brackets is in force.
const ENABLED: &str = "/sys/kernel/mm/transparent_hugepage/enabled";

/// Whether an image takes so many small pages that large ones pay.
pub fn pay(image: &Image) -> bool {
    image.mapped_length() >= WORTHWHILE
}

/// Whether an image's file is long enough to be mapped by large pages, as a [`copy`] is.
pub fn fit(image: &Image) -> bool {
    image.file_length >= image.large_length()
}

/// Whether the host gives large pages to a process that asks for them.
pub fn are_given() -> bool {
    std::fs::read_to_string(ENABLED).is_ok_and(|text| !text.contains("[never]"))
}

/// The image's file in memory that nobody can change, in large pages where the kernel can make some.
pub fn copy(image: &Image) -> Result<File, Error> {
    let length = image.file_length.max(image.large_length()).next_multiple_of(LARGE_PAGE);
    sealed::copy(&image.file, image.file_length, length)
}

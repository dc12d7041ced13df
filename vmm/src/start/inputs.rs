//! Inputs of a guest: its files, command line and configuration.

use crate::image::large_pages;
use crate::options::Options;
use machine::error::Error;
use machine::memory::LARGE_PAGE;
use std::fs::File;
use std::io::Read;

/// The open files of a guest.
pub struct Files {
    /// The image.
    pub image: File,
    /// The configuration.
    pub config: Option<File>,
    /// Whether the host gives large pages to mappings that ask for them. Set only if that matters for the image's file.
    pub(super) large_pages: bool,
}

impl Files {
    /// The files of a guest.
    pub fn new(image: File, config: Option<File>) -> Self {
        let whole = image.metadata().is_ok_and(|m| m.len().is_multiple_of(LARGE_PAGE));
        Self { image, config, large_pages: !whole && large_pages::available() }
    }
}

/// Encodes the words of a command line as the guest reads them.
pub fn command_line(options: &Options) -> Vec<u8> {
    options.words.iter().flat_map(|word| word.bytes().chain([0])).collect()
}

/// Initial buffer for a configuration, bytes. Most configurations are shorter.
const CONFIG_USUAL: usize = 8192;

/// Reads a configuration, up to the longest that a guest can have.
pub fn configuration(file: File, name: &str) -> Result<Vec<u8>, Error> {
    // A usual one is read at once.
    let mut bytes = Vec::with_capacity(CONFIG_USUAL);
    file.take(u64::from(abi::control::MESSAGE_MAXIMUM) + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| Error::Configuration(format!("{name}: {e}")))?;
    if bytes.len() > abi::control::MESSAGE_MAXIMUM as usize {
        return Err(Error::Configuration(format!("{name}: longer than 4 MiB")));
    }
    Ok(bytes)
}

//! Devices on the command line: `--net KEY=VALUE,..` and `--disk FILE[,ro]`.

use machine::error::Error;
use machine::net::options::DeviceOptions;
use machine::options::invalid;
use std::path::PathBuf;
use std::str::FromStr;

/// Reads a net device.
pub fn net(text: &str) -> Result<DeviceOptions, Error> {
    let mut device = DeviceOptions::default();
    for pair in text.split(',') {
        if device.take(pair)?.is_some() {
            return Err(invalid("--net", pair));
        }
    }
    device.check()?;
    Ok(device)
}

/// A disk to attach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskOptions {
    /// Its file, raw, or a block device.
    pub path: PathBuf,
    /// Whether the guest may write to it.
    pub writable: bool,
}

impl FromStr for DiskOptions {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (path, writable) = match text.strip_suffix(",ro") {
            Some(path) => (path, false),
            None => (text, true),
        };
        if path.is_empty() {
            return Err(invalid("--disk", text));
        }
        Ok(Self { path: path.into(), writable })
    }
}

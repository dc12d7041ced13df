//! Devices on the command line: `--net KEY=VALUE,..` and `--disk FILE[,ro]`.

use machine::error::Error;
use machine::options::{number, parse_mac, wrong};
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::str::FromStr;

/// A net device to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetOptions {
    /// Its other end.
    pub tap: TapOf,
    /// Link-layer address.
    pub mac: Option<[u8; 6]>,
    /// Largest layer-3 packet, bytes.
    pub mtu: u16,
    /// Whether checksums and segmentation may be left to the other side.
    pub offload: bool,
}

/// Which TAP it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TapOf {
    /// The one of this name, made if absent.
    Name(String),
    /// One that is open on a descriptor.
    Descriptor(RawFd),
}

impl FromStr for NetOptions {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (mut tap, mut mac, mut mtu, mut offload) = (None, None, 1500, true);
        for pair in text.split(',') {
            match pair.split_once('=').ok_or_else(|| wrong("--net", pair))? {
                ("tap", name) if tap.is_none() => tap = Some(TapOf::Name(name.into())),
                ("fd", fd) if tap.is_none() => tap = Some(TapOf::Descriptor(number("--net fd", fd)?)),
                ("mac", text) => mac = Some(parse_mac(text).ok_or_else(|| wrong("--net mac", text))?),
                ("mtu", text) => mtu = number("--net mtu", text)?,
                ("offload", "on") => offload = true,
                ("offload", "off") => offload = false,
                _ => return Err(wrong("--net", pair)),
            }
        }
        let tap = tap.ok_or_else(|| Error::Configuration("--net: give tap=NAME or fd=N".into()))?;
        if mtu < 68 {
            return Err(Error::Configuration("--net mtu: at least 68".into()));
        }
        Ok(Self { tap, mac, mtu, offload })
    }
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
            return Err(wrong("--disk", text));
        }
        Ok(Self { path: path.into(), writable })
    }
}

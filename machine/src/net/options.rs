//! The option `--net KEY=VALUE,..` of all monitors.

use super::mac_from;
use crate::error::Error;
use crate::options::{invalid, number, parse_mac, parse_switch};
use std::os::fd::RawFd;
use std::path::PathBuf;

/// Options of a net device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceOptions {
    /// Name of a TAP to open.
    pub tap: Option<String>,
    /// Descriptor of a TAP that is open already.
    pub fd: Option<RawFd>,
    /// Socket of the vhost-user back end.
    pub vhost_user: Option<PathBuf>,
    /// Whether the monitor listens at `vhost_user`.
    pub server: bool,
    /// Descriptor of a socket that already listens at `vhost_user`.
    pub listener: Option<RawFd>,
    /// How long to wait for a back end before the guest starts, seconds.
    pub wait: u64,
    /// Ethernet address; by default made from the name of the back end.
    pub mac: Option<[u8; 6]>,
    /// Largest layer-3 packet, bytes.
    pub mtu: u16,
    /// Whether checksum and segmentation offload are allowed.
    pub offload: bool,
}

impl Default for DeviceOptions {
    fn default() -> Self {
        Self {
            tap: None,
            fd: None,
            vhost_user: None,
            server: false,
            listener: None,
            wait: 5,
            mac: None,
            mtu: 1500,
            offload: true,
        }
    }
}

impl DeviceOptions {
    /// Parses a pair `KEY=VALUE`. Returns the pair if the key is not one of these.
    pub fn take<'a>(&mut self, pair: &'a str) -> Result<Option<(&'a str, &'a str)>, Error> {
        let (key, value) = match pair.strip_prefix("vhost-user:") {
            Some(path) => ("vhost-user", path),
            None => pair.split_once('=').ok_or_else(|| invalid("--net", pair))?,
        };
        match key {
            "vhost-user" => self.vhost_user = Some(value.into()),
            "server" => self.server = parse_switch("--net server", value)?,
            "listener" => self.listener = Some(number("--net listener", value)?),
            "wait" => self.wait = number("--net wait", value)?,
            "tap" => self.tap = Some(value.into()),
            "fd" => self.fd = Some(number("--net fd", value)?),
            "mac" => self.mac = Some(parse_mac(value).ok_or_else(|| invalid("--net mac", value))?),
            "mtu" => self.mtu = number("--net mtu", value)?,
            "offload" => self.offload = parse_switch("--net offload", value)?,
            _ => return Ok(Some((key, value))),
        }
        Ok(None)
    }

    /// Refuses options that contradict each other.
    pub fn check(&self) -> Result<(), Error> {
        let ends = [self.tap.is_some(), self.fd.is_some(), self.vhost_user.is_some()];
        if ends.iter().filter(|given| **given).count() != 1 {
            return Err(Error::Configuration("--net: give one of tap=NAME, fd=N, vhost-user=PATH".into()));
        }
        if self.server && self.vhost_user.is_none() {
            return Err(Error::Configuration("--net server: for vhost-user=PATH alone".into()));
        }
        if self.listener.is_some() && !self.server {
            return Err(Error::Configuration("--net listener: with server=on alone".into()));
        }
        if self.mtu < 68 {
            return Err(Error::Configuration("--net mtu: at least 68".into()));
        }
        Ok(())
    }

    /// Its Ethernet address: the given one, or one made from the name of its back end.
    pub fn mac(&self) -> [u8; 6] {
        let name = || match (&self.tap, &self.vhost_user) {
            (Some(tap), _) => tap.clone(),
            (None, Some(path)) => path.display().to_string(),
            (None, None) => format!("fd{}", self.fd.unwrap_or_default()),
        };
        self.mac.unwrap_or_else(|| mac_from(&name()))
    }
}

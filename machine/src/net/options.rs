//! A net device on a monitor's command line, as every kind of machine is told of it: `--net KEY=VALUE,..`.

use super::mac_from;
use crate::error::Error;
use crate::options::{invalid, number, parse_mac, parse_switch};
use std::os::fd::RawFd;
use std::path::PathBuf;

/// A net device to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceOptions {
    /// TAP to open by name.
    pub tap: Option<String>,
    /// TAP that is open already.
    pub fd: Option<RawFd>,
    /// Socket at which a vhost-user back end is met.
    pub vhost_user: Option<PathBuf>,
    /// Whether this side listens there.
    pub server: bool,
    /// Descriptor of a socket that listens there already.
    pub listener: Option<RawFd>,
    /// How long to wait for a back end before the guest starts, seconds.
    pub wait: u64,
    /// Link-layer address.
    pub mac: Option<[u8; 6]>,
    /// Largest layer-3 packet, bytes.
    pub mtu: u16,
    /// Whether checksums and segmentation may be left to the other side.
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
    /// Takes a pair `KEY=VALUE`; gives it back if its key is none of every machine's.
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

    /// Refuses what does not go together.
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

    /// Its link-layer address: the one that was given, or one made from the name of its other end.
    pub fn mac(&self) -> [u8; 6] {
        let name = || match (&self.tap, &self.vhost_user) {
            (Some(tap), _) => tap.clone(),
            (None, Some(path)) => path.display().to_string(),
            (None, None) => format!("fd{}", self.fd.unwrap_or_default()),
        };
        self.mac.unwrap_or_else(|| mac_from(&name()))
    }
}

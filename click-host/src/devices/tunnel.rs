//! TUN and TAP devices: a packet that is written to one arrives at the host, and what the host sends there is read.

use super::{LONGEST, receive};
use crate::files::reason;
use crate::sys;
use crate::watch::Watch;
use click::packet::Batch;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// How a device is set up.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Its name; empty: the system chooses.
    pub name: String,
    /// It carries Ethernet frames, not IP packets.
    pub tap: bool,
    /// The host's address on it, and the prefix length.
    pub address: Option<([u8; 4], u8)>,
    /// A default route of the host leads to this address.
    pub gateway: Option<[u8; 4]>,
    /// The host's Ethernet address on it.
    pub ethernet: Option<String>,
    /// Longest IP packet.
    pub mtu: Option<u32>,
}

/// An open device.
pub struct Tunnel {
    file: File,
    /// What it is called.
    pub name: String,
    watch: Watch,
}

/// Open devices by name: elements of one device share it, and so does a configuration that takes another's place.
static OPEN: Mutex<BTreeMap<String, Weak<Tunnel>>> = Mutex::new(BTreeMap::new());

/// The open device of a name.
pub fn find(name: &str) -> Option<Arc<Tunnel>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner).get(name).and_then(Weak::upgrade)
}

/// Opens a device, or joins who has it open, and sets it up.
pub fn open(settings: &Settings) -> Result<Arc<Tunnel>, String> {
    let shown = if settings.name.is_empty() { "/dev/net/tun" } else { &settings.name };
    let said = |e: io::Error| format!("{shown}: {}", reason(&e));
    let tunnel = match find(&settings.name) {
        Some(tunnel) => tunnel,
        None => {
            let (file, name) = sys::tunnel(&settings.name, settings.tap).map_err(said)?;
            rustix::io::ioctl_fionbio(&file, true).map_err(|e| said(e.into()))?;
            let watch = Watch::new(&file).map_err(said)?;
            let tunnel = Arc::new(Tunnel { file, name: name.clone(), watch });
            OPEN.lock().unwrap_or_else(PoisonError::into_inner).insert(name, Arc::downgrade(&tunnel));
            tunnel
        }
    };
    tunnel.set_up(settings)?;
    Ok(tunnel)
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let done = Command::new("ip").args(arguments).output().map_err(|e| format!("ip: {}", reason(&e)))?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(format!("ip {}: {}", arguments.join(" "), said.trim()))
}

impl Tunnel {
    fn set_up(&self, settings: &Settings) -> Result<(), String> {
        let dotted = |a: [u8; 4]| std::net::Ipv4Addr::from(a).to_string();
        if let Some(ethernet) = &settings.ethernet {
            ip(&["link", "set", &self.name, "address", ethernet])?;
        }
        if let Some(mtu) = settings.mtu {
            ip(&["link", "set", &self.name, "mtu", &mtu.to_string()])?;
        }
        if let Some((address, length)) = settings.address {
            ip(&["address", "replace", &format!("{}/{length}", dotted(address)), "dev", &self.name])?;
        }
        ip(&["link", "set", &self.name, "up"])?;
        if let Some(gateway) = settings.gateway {
            ip(&["route", "replace", "default", "via", &dotted(gateway), "dev", &self.name])?;
        }
        Ok(())
    }

    /// Packets that the host sent, at most `most`.
    pub fn receive(&self, most: usize) -> Batch {
        let mut batch = Batch::new();
        if self.watch.is_readable() {
            let more = receive(most, LONGEST, &mut batch, |buffer| (&self.file).read(buffer));
            if !more.unwrap_or(false) {
                self.watch.set_not_readable();
            }
        }
        batch
    }

    /// Hands a packet to the host.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.file).write(bytes).map(drop)
    }
}

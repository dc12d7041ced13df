//! Network namespaces and folders, removed with their owners.

use super::process::{Error, failed, run, until};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

static NUMBER: AtomicU32 = AtomicU32::new(0);
/// All names begin so, with the number of this process.
const STEM: &str = "mvb";

/// A name of this process' own, short enough for a network interface.
pub fn unique() -> String {
    format!("{STEM}{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// A network namespace, removed with this. Its devices say nothing by themselves.
pub struct Namespace {
    /// Its name.
    pub name: String,
}

impl Namespace {
    /// A new one, with its loopback up.
    pub fn new() -> Result<Self, Error> {
        let new = Self { name: unique() };
        run(Command::new("ip").args(["netns", "add", &new.name]))?;
        let quiet = "echo 1 | tee /proc/sys/net/ipv6/conf/default/disable_ipv6 /proc/sys/net/ipv6/conf/all/disable_ipv6";
        run(&mut new.command(&["sh", "-c", quiet]))?;
        new.ip("link set lo up")?;
        Ok(new)
    }

    /// Runs `ip` in it.
    pub fn ip(&self, words: &str) -> Result<(), Error> {
        run(Command::new("ip").args(["-n", &self.name]).args(words.split(' '))).map(drop)
    }

    /// A command that runs in it.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).args(words);
        command
    }

    /// Gives a device an address and brings it up.
    pub fn address(&self, device: &str, address: &str, mtu: u16) -> Result<(), Error> {
        self.ip(&format!("addr add {address} dev {device}"))?;
        self.ip(&format!("link set {device} mtu {mtu} up"))
    }

    /// Waits until somebody listens on a TCP port in it.
    pub fn listens(&self, port: u16) -> Result<(), Error> {
        until(&format!("a server listens on port {port}"), 10, || {
            let listening = run(&mut self.command(&["ss", "-Htln", &format!("sport = :{port}")]));
            listening.is_ok_and(|said| !said.is_empty())
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = run(Command::new("ip").args(["netns", "del", &self.name]));
    }
}

/// Removes namespaces of those who were killed before they could.
pub fn sweep() {
    for entry in std::fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix(STEM).and_then(|rest| rest.split_once('-')).map(|(pid, _)| pid);
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = run(Command::new("ip").args(["netns", "del", &name]));
        }
    }
}

/// A folder for sockets and files, removed with this.
pub struct Folder(pub PathBuf);

impl Folder {
    /// A new one.
    pub fn new() -> Result<Self, Error> {
        let path = std::env::temp_dir().join(unique());
        match std::fs::create_dir(&path) {
            Ok(()) => Ok(Self(path)),
            Err(e) => failed(format!("{}: {e}", path.display())),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

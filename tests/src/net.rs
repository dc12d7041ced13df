//! Test hosts: network namespaces with ordinary sockets in them.

use crate::{run, unique};
use machine::error::Error;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A network namespace, removed with this.
pub struct Namespace {
    /// Its name.
    pub name: String,
}

#[track_caller]
fn ip(arguments: &[&str]) {
    let outcome = run(Command::new("ip").args(arguments));
    assert_eq!(outcome.status, 0, "ip {arguments:?}: {outcome:?}");
}

impl Namespace {
    /// A new one, with its loopback up.
    pub fn new() -> Self {
        let name = unique("uv");
        ip(&["netns", "add", &name]);
        let new = Self { name };
        new.ip(&["link", "set", "lo", "up"]);
        new
    }

    /// Runs `ip` in it.
    #[track_caller]
    pub fn ip(&self, arguments: &[&str]) {
        ip(&[&["-n", &self.name], arguments].concat());
    }

    /// Gives a device an address.
    #[track_caller]
    pub fn address(&self, device: &str, address: &str) {
        self.ip(&["addr", "add", address, "dev", device]);
    }

    /// A command that runs in it.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).args(arguments);
        command
    }

    /// Runs something in it, with ordinary sockets.
    pub fn inside<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        let path: PathBuf = Path::new("/run/netns").join(&self.name);
        let result: Result<T, Error> = machine::net::tap::in_namespace(&path, || Ok(f()));
        result.unwrap_or_else(|e| panic!("{}: {e}", self.name))
    }

    /// Names of its devices.
    pub fn devices(&self) -> String {
        run(Command::new("ip").args(["-n", &self.name, "-br", "link"])).out
    }

    /// A TAP's kind and flags.
    #[track_caller]
    pub fn tap_kind(&self, name: &str) -> String {
        let link = run(Command::new("ip").args(["-n", &self.name, "-d", "link", "show", "dev", name]));
        assert_eq!(link.status, 0, "{link:?}");
        link.out.lines().find(|line| line.contains("tun type")).unwrap_or_default().trim().to_owned()
    }

    /// How a TAP is set up that nobody has open: its kind and flags, its offloads, and bytes of header before a packet.
    #[track_caller]
    pub fn tap_settings(&self, name: &str) -> String {
        let kind = self.tap_kind(name);
        let offloads = run(&mut self.command(&["ethtool", "-k", name]));
        assert_eq!(offloads.status, 0, "{offloads:?}");
        let header = "import fcntl, struct, sys
tun = open('/dev/net/tun', 'r+b', buffering=0)
before = struct.pack('16sH22x', sys.argv[1].encode(), int(sys.argv[2]))
fcntl.ioctl(tun, 0x400454ca, before)
print(struct.unpack('i', fcntl.ioctl(tun, 0x800454d7, bytes(4)))[0])";
        // IFF_TAP, IFF_NO_PI and IFF_VNET_HDR as they are set already: this, too, would change them.
        let header_flag = if kind.contains("vnet_hdr on") { libc::IFF_VNET_HDR } else { 0 };
        let flags = libc::IFF_TAP | libc::IFF_NO_PI | header_flag;
        let header = run(&mut self.command(&["python3", "-c", header, name, &flags.to_string()]));
        assert_eq!(header.status, 0, "{header:?}");
        // What was asked for by hand, and is not in force, the kernel forgets when a TAP is opened.
        let offloads = offloads.out.replace(" [requested on]", "");
        format!("{kind}\nheader {}\n{offloads}", header.out)
    }

    /// A UDP socket in it.
    pub fn udp(&self, address: &str) -> UdpSocket {
        let socket = self.inside(|| UdpSocket::bind(address));
        let socket = socket.unwrap_or_else(|e| panic!("{address}: {e}"));
        socket.set_read_timeout(Some(Duration::from_millis(700))).expect("a timeout can be set");
        socket
    }

    /// Whether an address answers `count` pings.
    pub fn pings(&self, address: &str, count: u32) -> bool {
        let count = count.to_string();
        let arguments = ["ping", "-n", "-q", "-c", &count, "-i", "0.05", "-W", "2", address];
        run(&mut self.command(&arguments)).status == 0
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        run(Command::new("ip").args(["netns", "del", &self.name]));
    }
}

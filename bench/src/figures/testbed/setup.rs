//! What takes part in a measurement: a configuration between a client and a server, and what answers there.

use super::namespace::Folder;
use super::process::{Error, failed, need};
use crate::figures::draw::style;

/// What is between the client and the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// A veth pair, or two and a route over both.
    Veth { links: usize },
    /// A veth pair, a bridge of the kernel, a veth pair.
    Bridge,
    /// A TAP that the client's kernel and the monitor share.
    Tap,
    /// A veth pair, a bridge of the kernel, a TAP of the monitor.
    TapBehindBridge,
    /// A TAP, and Linux in a machine of QEMU.
    Stock,
    /// A TAP, the switch, and a guest's vhost-user port.
    Switch,
    /// A veth pair whose end is the switch's uplink, and a guest's vhost-user port.
    Uplink,
    /// A TAP, the switch, veth pairs bonded at both ends, the switch, and a guest's vhost-user port.
    Bond { links: usize },
}

/// How long those who wait for packets look for them before they sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poll {
    /// The product's own default: 100 microseconds at the most for a guest, 50 for a switch, or up to 200.
    Adaptive,
    /// As long as they live.
    Always,
    /// Not at all.
    Never,
}

/// A configuration that takes part: options of the product.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Short name, which its style goes by.
    pub key: &'static str,
    /// What is between the client and the server.
    pub path: Path,
    /// Checksums and segmentation left to the other side.
    pub offload: bool,
    /// Largest packet in bytes.
    pub mtu: u16,
    /// How the guest and the switch wait for packets.
    pub poll: Poll,
    /// Entries of each queue.
    pub queue: u32,
    /// The switch's segment joins two ports and learns nothing.
    pub point_to_point: bool,
    /// Rate limit of each link, as `tc` takes it; none: unlimited.
    pub rate: Option<&'static str>,
}

impl Setup {
    /// With the product's own defaults.
    pub const fn new(key: &'static str, path: Path) -> Self {
        Self {
            key,
            path,
            offload: true,
            mtu: 1500,
            poll: Poll::Adaptive,
            queue: 256,
            point_to_point: false,
            rate: None,
        }
    }

    /// Its name for people.
    pub fn label(&self) -> String {
        let is_one_link = matches!(self.path, Path::Veth { links: 1 } | Path::Bond { links: 1 });
        let links = if self.rate.is_some() && is_one_link { ", one link" } else { "" };
        format!("{}{links}", style::of(self.key).label)
    }

    pub fn is_guest(&self) -> bool {
        !matches!(self.path, Path::Veth { .. } | Path::Bridge | Path::Stock)
    }

    /// Programs that it takes, that of a native server among them.
    fn programs(&self, server: Server) -> Vec<&'static str> {
        let mut programs = vec!["ip", "taskset"];
        programs.extend(self.rate.map(|_| "tc"));
        match self.path {
            Path::Veth { .. } | Path::Bridge => programs.extend(server.program()),
            Path::Stock => programs.extend(server.program().into_iter().chain(["qemu-system-x86_64"])),
            Path::Tap | Path::TapBehindBridge => programs.extend(["microvisor", "microvisor-vmm"]),
            _ => programs.extend(["microvisor", "microvisor-vmm", "microvisor-switch"]),
        }
        programs
    }
}

/// What answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// iperf3.
    Iperf,
    /// NetPIPE's receiver for sizes up to some bytes, and from some bytes.
    Netpipe { low: u32, high: u32 },
    /// Redis.
    Redis,
    /// What answers pings: a kernel, or Click.
    Ping,
}

impl Server {
    fn program(self) -> Option<&'static str> {
        match self {
            Server::Iperf => Some("iperf3"),
            Server::Netpipe { .. } => Some("NPtcp"),
            Server::Redis => Some("redis-server"),
            Server::Ping => None,
        }
    }

    /// The port, and how the program is started.
    pub fn native(self) -> Option<(u16, Vec<String>)> {
        let words = |text: String| text.split(' ').map(str::to_owned).collect();
        match self {
            Server::Iperf => Some((5201, words("iperf3 -s".into()))),
            Server::Netpipe { low, high } => {
                Some((5002, words(format!("NPtcp -o /dev/null -p 0 -l {low} -u {high}"))))
            }
            Server::Redis => {
                let mut words: Vec<String> = words("redis-server --protected-mode no --save".into());
                words.push(String::new());
                Some((6379, words))
            }
            Server::Ping => None,
        }
    }

    /// What `microvisor run` is told.
    pub fn guest(self, folder: &Folder) -> Result<Vec<String>, Error> {
        let words: &[&str] = match self {
            Server::Iperf => &["iperf"],
            Server::Netpipe { low, .. } => return Ok(netpipe(&format!("-p 0 -l {low}"))),
            Server::Redis => &["redis", "--memory", "512"],
            Server::Ping => {
                let file = folder.0.join("pong.click");
                if let Err(e) = std::fs::write(&file, include_str!("../pong.click")) {
                    return failed(format!("{}: {e}", file.display()));
                }
                return Ok(vec![file.display().to_string()]);
            }
        };
        Ok(words.iter().map(ToString::to_string).collect())
    }
}

/// What `microvisor run` is told for NetPIPE's guest.
pub fn netpipe(arguments: &str) -> Vec<String> {
    vec!["netpipe".into(), "--set".into(), format!("args={arguments}")]
}

/// Checks that the programs of all these configurations are installed.
pub fn check(setups: &[Setup], server: Server, loads: &[&str]) -> Result<Vec<&'static str>, Error> {
    need(loads)?;
    let mut all: Vec<&'static str> = setups.iter().flat_map(|s| s.programs(server)).collect();
    all.sort_unstable();
    all.dedup();
    need(&all)?;
    if setups.iter().any(Setup::is_guest) && !std::path::Path::new("/dev/kvm").exists() {
        return failed("/dev/kvm is missing: guests need KVM");
    }
    Ok(all)
}

/// The server's address.
pub const SERVER: &str = "10.80.0.1";
/// The client's.
pub const CLIENT: &str = "10.80.0.2";
/// A second guest's.
pub const OTHER: &str = "10.80.0.3";

/// Options of a guest that are not its devices'.
pub fn options(setup: &Setup) -> Vec<String> {
    let poll = match setup.poll {
        Poll::Adaptive => "100",
        Poll::Always => "always",
        Poll::Never => "0",
    };
    vec!["--poll".into(), poll.into()]
}

/// Options of a net device, as `--tap` and `--net` take them.
pub fn features(setup: &Setup) -> String {
    let offload = if setup.offload { "on" } else { "off" };
    format!(",mtu={},queue={},offload={offload}", setup.mtu, setup.queue)
}

//! Which offloads a TAP has in force, which the driver itself does not say (`linux/ethtool.h`).
#![allow(unsafe_code)]

use crate::{Offloads, kernel};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

const GET_STRINGS: u32 = 0x1b;
const GET_SET_INFO: u32 = 0x37;
const GET_FEATURES: u32 = 0x3a;
/// The set of the features' names.
const FEATURES: u32 = 4;
/// Bytes of each name.
const NAME: usize = 32;
/// More features than any kernel has.
const FEATURES_MAXIMUM: usize = 1024;

/// Names of features, and what each is for `TUNSETOFFLOAD`.
const OFFLOADS: [(&str, Offloads); 4] = [
    ("tx-checksum-ip-generic", libc::TUN_F_CSUM),
    ("tx-tcp-segmentation", libc::TUN_F_TSO4),
    ("tx-tcp6-segmentation", libc::TUN_F_TSO6),
    ("tx-tcp-ecn-segmentation", libc::TUN_F_TSO_ECN),
];

/// The offloads in force at the interface `name` of this thread's network namespace.
pub fn offloads(name: &str) -> io::Result<Offloads> {
    let interface = Interface {
        name,
        socket: rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?,
    };
    // `struct ethtool_sset_info`: command, reserved, a mask of sets (64 bits), then the length of each.
    let info = interface.ask(vec![GET_SET_INFO, 0, 1 << FEATURES, 0, 0])?;
    let count = (info[4] as usize).min(FEATURES_MAXIMUM);
    // `struct ethtool_gstrings`: command, set, number, then the names.
    let mut strings = vec![GET_STRINGS, FEATURES, count as u32];
    strings.resize(3 + FEATURES_MAXIMUM * NAME / 4, 0);
    let strings = interface.ask(strings)?;
    let names: Vec<u8> = strings[3..].iter().flat_map(|word| word.to_ne_bytes()).collect();
    // `struct ethtool_gfeatures`: command, number of blocks, then for each block of 32 features what is available,
    // requested, active and never changed.
    let blocks = count.div_ceil(32);
    let mut features = vec![GET_FEATURES, blocks as u32];
    features.resize(2 + blocks * 4, 0);
    let features = interface.ask(features)?;
    let is_active = |feature: usize| features[2 + feature / 32 * 4 + 2] >> (feature % 32) & 1 != 0;
    let active = names.chunks(NAME).take(count).enumerate().filter(|(feature, _)| is_active(*feature));
    let offloads = active.filter_map(|(_, name)| {
        let name = name.split(|byte| *byte == 0).next()?;
        OFFLOADS.iter().find(|(known, _)| known.as_bytes() == name).map(|(_, offload)| offload)
    });
    Ok(offloads.fold(0, |all, offload| all | offload))
}

struct Interface<'a> {
    name: &'a str,
    socket: OwnedFd,
}

impl Interface<'_> {
    /// What the kernel writes over `words`, which begin with a command and are at least as long as its answer.
    fn ask(&self, mut words: Vec<u32>) -> io::Result<Vec<u32>> {
        let mut request = kernel::interface_request(self.name);
        request.ifr_ifru.ifru_data = words.as_mut_ptr().cast();
        // SAFETY: `request` and the words that it points to are what the call reads and writes; there are as many as the
        // answer to each of the commands above can have.
        let result = unsafe { libc::ioctl(self.socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(words) }
    }
}

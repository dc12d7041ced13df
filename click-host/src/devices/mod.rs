//! Devices of the operating system: network interfaces, and TUN and TAP devices to the host's own network.

mod dpdk;
mod from_device;
mod from_host;
mod kernel_tun;
mod to_device;
mod to_host;
mod tunnel;

pub use dpdk::{FromDPDKDevice, ToDPDKDevice};
pub use from_device::FromDevice;
pub use from_host::FromHost;
pub use kernel_tun::{KernelTap, KernelTun};
pub use to_device::ToDevice;
pub use to_host::ToHost;

use click::args::Args;
use click::packet::{Batch, Kind};
use click::{Nanos, Packet};
use std::cell::RefCell;
use std::io::{self, ErrorKind};

/// The interface that a configuration means: that of the name; of a number, if there is none of that name, as of the first
/// argument that is missing (0), `eth` with that number.
pub(crate) fn interface(args: &mut Args<'_>) -> String {
    let name = args.either::<String>(&["DEVNAME", "DEVID"]).unwrap_or_else(|| "0".to_string());
    let numbered = name.bytes().all(|b| b.is_ascii_digit()) && !crate::sys::exists(&name);
    if numbered { format!("eth{name}") } else { name }
}

/// Bytes received of a packet where nothing else is said: more than any ordinary frame has.
pub(crate) const SNAPLEN: usize = 2046;

/// Most bytes that a packet can have.
pub(crate) const LONGEST: usize = 65_535;

thread_local! {
    /// Where packets are received before their length is known: most are short, and fit buffers from the pool.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; LONGEST]);
}

/// Receives packets until there are none, or `most`. `receive` writes a packet into a buffer of `room` bytes and says
/// how long it was. Whether there may be more.
pub(crate) fn receive(
    most: usize,
    room: usize,
    batch: &mut Batch,
    mut receive: impl FnMut(&mut [u8]) -> io::Result<usize>,
) -> io::Result<bool> {
    SCRATCH.with_borrow_mut(|scratch| {
        let scratch = &mut scratch[..room.min(LONGEST)];
        for _ in 0..most {
            match receive(scratch) {
                // A full heap loses the packet.
                Ok(length) => {
                    Packet::from_bytes(&scratch[..length.min(room)]).into_iter().for_each(|p| batch.push(p))
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(e) if e.kind() == ErrorKind::Interrupted => return Ok(true),
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    })
}

/// Notes when an Ethernet frame arrived and to whom it was sent.
pub(crate) fn mark_frame(packet: &mut Packet, now: Nanos, own: [u8; 6]) {
    packet.set_timestamp(now);
    packet.set_mac();
    let destination = packet.data().first_chunk::<6>().copied().unwrap_or(own);
    packet.set_kind(match destination {
        d if d == own => Kind::Host,
        [255, 255, 255, 255, 255, 255] => Kind::Broadcast,
        [first, ..] if first & 1 == 1 => Kind::Multicast,
        _ => Kind::Other,
    });
}

/// Notes where the headers of an IP packet are, and where it goes; whether it is one.
pub(crate) fn mark_ip(packet: &mut Packet) -> bool {
    let data = packet.data();
    let (transport, destination) = match (data.first().map(|b| b >> 4), data.len()) {
        (Some(4), 20..) => {
            let length = usize::from(data[0] & 15) * 4;
            if length < 20 || length > data.len() {
                return false;
            }
            (length, Some([data[16], data[17], data[18], data[19]]))
        }
        (Some(6), 40..) => (40, None),
        _ => return false,
    };
    packet.set_headers(0, transport);
    if let Some(destination) = destination {
        packet.set_destination(destination);
    }
    true
}

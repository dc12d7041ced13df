use super::rewrite_address;
use crate::args::{Args, Ipv4, parse_number};
use crate::element::{Context, Element};
use crate::headers::{IPV4, Ipv4Header};
use crate::packet::{Batch, Packet};
use alloc::format;
use alloc::string::String;

crate::element! {
    /// Writes an address into packets.
    ///
    /// Packets that lack the place leave by output 1, or are dropped if it is not there; so are those without an address.
    ///
    /// # Arguments
    /// `ADDR` or `ADDRESS`: the address; without it, the destination annotation. `OFFSET`: where it goes; or `src` or `dst`: into
    /// the IP header, which is found by the IP header annotation, with all checksums.
    StoreIPAddress "1/1-2" "a/ah"
    keywords ["ADDR", "ADDRESS", "OFFSET"]
    { address: Option<Ipv4>, place: Place }
}

#[derive(Clone, Copy)]
enum Place {
    Data(usize),
    Header(usize),
}

impl StoreIPAddress {
    fn new(args: &mut Args<'_>) -> Self {
        let named = args.key("ADDR").or_else(|| args.key("ADDRESS"));
        let address = if named.is_none() && args.left() > 1 { args.next("ADDR") } else { named };
        let text: String = args.required("OFFSET");
        let place = match text.to_ascii_lowercase().as_str() {
            "src" => Place::Header(12),
            "dst" => Place::Header(16),
            number => {
                let offset = parse_number(number);
                if offset.is_none() {
                    args.error(format!("OFFSET: expected an offset, or 'src' or 'dst', not '{text}'"));
                }
                Place::Data(offset.unwrap_or(0) as usize)
            }
        };
        Self { address, place }
    }
}

/// The IP header, also one of another version, or longer than the packet: 20 bytes of it will do.
fn header(packet: &Packet) -> Option<(usize, Ipv4Header)> {
    let at = packet.network()?;
    let mut bytes: [u8; IPV4] = *packet.data().get(at..)?.first_chunk()?;
    let header = usize::from(bytes[0] & 15) * 4;
    bytes[0] = 0x45;
    (header >= IPV4).then_some((at, Ipv4Header { header, ..Ipv4Header::read(&bytes)? }))
}

impl Element for StoreIPAddress {
    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let store = |packet: &mut Packet| {
            let address = self.address.map_or(packet.destination(), |a| a.0);
            match self.place {
                Place::Data(_) if self.address.is_none() && address == [0; 4] => false,
                Place::Data(at) => {
                    let place = packet.data_mut().get_mut(at..).and_then(|d| d.first_chunk_mut());
                    place.map(|place| *place = address).is_some()
                }
                Place::Header(by) => {
                    let found = header(packet);
                    found
                        .map(|(at, h)| rewrite_address(&mut packet.data_mut()[at..], &h, by, address))
                        .is_some()
                }
            }
        };
        let others = batch.partition(store);
        cx.output(1, others);
    }
}

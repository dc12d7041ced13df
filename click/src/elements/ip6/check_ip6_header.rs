use crate::args::{Args, Ipv6};
use crate::element::{Context, Element, read, write};
use crate::elements::ip::{Faults, Label};
use crate::headers::{IPV6, Ipv6Header};
use crate::packet::{Batch, Packet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

crate::element! {
    /// Checks IPv6 headers.
    ///
    /// Looks at version, payload length and source address. Good packets are cut to their length and get the network
    /// header and IPv6 destination annotations. Bad ones go out of output 1, or are dropped if it is not there.
    ///
    /// # Arguments
    /// `BADADDRS`: addresses that no packet may come from, separated by spaces; multicast addresses never may. `OFFSET`
    /// (0): where the header begins. `VERBOSE` (false): say what was wrong. `DETAILS` (false): count by reason, which is
    /// done anyway.
    ///
    /// # Handlers
    /// `drops`: bad packets. `drop_details`: by reason. `reset_counts`: sets the counts to 0.
    CheckIP6Header "1/1-2" "a/ah"
    keywords ["BADADDRS", "OFFSET", "VERBOSE", "DETAILS"]
    handlers [read("drops"), read("drop_details"), write("reset_counts")]
    { bad: Vec<[u8; 16]>, offset: usize, faults: Faults<4> }
}

const REASONS: [&str; 4] = ["tiny packet", "bad IP version", "bad IP length", "bad source address"];

impl CheckIP6Header {
    fn new(args: &mut Args<'_>) -> Self {
        let first: Option<String> = args.next("BADADDRS");
        let (list, offset) = match first.as_deref().and_then(crate::args::parse_number) {
            Some(n) => (None, Some(n as usize)),
            None => (first, None),
        };
        let mut bad = Vec::new();
        for word in list.unwrap_or_default().split_whitespace() {
            match <Ipv6 as crate::args::Argument>::parse(word, args.names) {
                Some(address) => bad.push(address.0),
                None => args.error(format!("BADADDRS: expected IPv6 addresses, not '{word}'")),
            }
        }
        let offset = args.next("OFFSET").or(offset).unwrap_or(0);
        Self { bad, offset, faults: Faults::new(args, "IP6", Label::None, REASONS) }
    }
}

fn check(packet: &mut Packet, offset: usize, bad: &[[u8; 16]]) -> Result<(), usize> {
    let data = packet.data().get(offset..).filter(|d| d.len() >= IPV6).ok_or(0usize)?;
    let h = Ipv6Header::read(data).ok_or(1usize)?;
    if h.payload + IPV6 > data.len() {
        return Err(2);
    }
    if h.source[0] == 255 || bad.contains(&h.source) {
        return Err(3);
    }
    packet.truncate(offset + IPV6 + h.payload);
    packet.set_headers(offset, offset + IPV6);
    packet.set_destination6(h.destination);
    Ok(())
}

impl Element for CheckIP6Header {
    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let Self { bad, offset, faults } = self;
        faults.sift(cx, batch, |packet| check(packet, *offset, bad));
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(self.faults.read(handler))
    }

    fn write(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<(), String> {
        self.faults.reset();
        Ok(())
    }
}

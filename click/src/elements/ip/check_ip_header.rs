use super::{Faults, Label};
use crate::args::Args;
use crate::element::{Context, Element, read, write};
use crate::headers::{IPV4, Ipv4Header, checksum};
use crate::packet::{Batch, Packet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

crate::element! {
    /// Checks IPv4 headers.
    ///
    /// Looks at version, header length, total length, checksum and source address. Good packets are cut to their total
    /// length and get the IP header and destination annotations. Bad ones go out of output 1, or are dropped if it is
    /// not there.
    ///
    /// # Arguments
    /// `BADSRC`: addresses that no packet may come from, separated by spaces. `OFFSET` (0): where the header begins.
    /// `INTERFACES`: `ADDRESS/LENGTH ...`: networks whose broadcast addresses no packet may come from; 0.0.0.0 and
    /// 255.255.255.255 then neither. `GOODDST`: addresses to which packets may go whatever their source. `CHECKSUM`
    /// (true): check it. `VERBOSE` (false): say what was wrong. `DETAILS` (false): count by reason.
    ///
    /// # Handlers
    /// `drops`: bad packets. `drop_details`: by reason. `reset_counts`: sets the counts to 0.
    CheckIPHeader "1/1-2" "a/ah"
    keywords ["BADSRC", "OFFSET", "INTERFACES", "GOODDST", "CHECKSUM", "VERBOSE", "DETAILS"]
    handlers [read("drops"), read("drop_details"), write("reset_counts")]
    { check: Check, faults: Faults<{ REASONS.len() }> }
}

const REASONS: [&str; 6] = [
    "tiny packet",
    "bad IP version",
    "bad IP header length",
    "bad IP length",
    "bad IP checksum",
    "bad source address",
];

impl CheckIPHeader {
    pub(super) fn new(args: &mut Args<'_>) -> Self {
        let list = |args: &mut Args<'_>, text: Option<String>, name: &str| {
            let mut out = Vec::new();
            for word in text.unwrap_or_default().split_whitespace() {
                match args.names.ipv4(word) {
                    Some(address) => out.push(address),
                    None => args.error(format!("{name}: expected IP addresses, not '{word}'")),
                }
            }
            out
        };
        // The first argument may be an offset, in newer files, or the bad addresses.
        let first: Option<String> = args.next("BADSRC");
        let (bad, offset) = match first.as_deref().and_then(crate::args::parse_number) {
            Some(n) => (None, Some(n as usize)),
            None => (first, None),
        };
        let mut bad = list(args, bad, "BADSRC");
        let offset = args.next("OFFSET").or(offset).unwrap_or(0);
        if let Some(text) = args.key::<String>("INTERFACES") {
            bad.extend([[0; 4], [255; 4]]);
            for word in text.split_whitespace() {
                match args.names.prefix(word) {
                    Some((network, length)) => bad.push(broadcast(network, length)),
                    None => {
                        args.error(format!("INTERFACES: expected addresses with prefix length, not '{word}'"))
                    }
                }
            }
        }
        let good = args.key("GOODDST");
        let good = list(args, good, "GOODDST");
        let check = Check { bad, good, offset, checksum: args.key("CHECKSUM").unwrap_or(true) };
        Self { check, faults: Faults::new(args, "IP", Label::Name, REASONS) }
    }
}

/// What is checked.
struct Check {
    bad: Vec<[u8; 4]>,
    good: Vec<[u8; 4]>,
    offset: usize,
    checksum: bool,
}

impl Check {
    /// The number of what is wrong; otherwise sets annotations.
    #[inline]
    fn check(&self, packet: &mut Packet) -> Result<(), usize> {
        let Some(data) = packet.data().get(self.offset..) else { return Err(0) };
        let Some(h) = Ipv4Header::read(data) else {
            return Err(match data.first() {
                Some(first) if data.len() >= 20 && first >> 4 != 4 => 1,
                Some(_) if data.len() >= 20 => 2,
                _ => 0,
            });
        };
        if h.total < h.header || h.total > data.len() {
            return Err(3);
        }
        // Nearly all have no options; the sum of a known number of bytes takes no loop.
        let sum = |data: &[u8]| match data.first_chunk::<IPV4>() {
            Some(plain) if h.header == IPV4 => checksum(plain),
            _ => checksum(&data[..h.header]),
        };
        if self.checksum && sum(data) != [0, 0] {
            return Err(4);
        }
        if self.bad.contains(&h.source) && !self.good.contains(&h.destination) {
            return Err(5);
        }
        packet.truncate(self.offset + h.total);
        packet.set_headers(self.offset, self.offset + h.header);
        packet.set_destination(h.destination);
        Ok(())
    }
}

fn broadcast(network: [u8; 4], length: u8) -> [u8; 4] {
    (u32::from_be_bytes(network) | !crate::args::mask_bits(length)).to_be_bytes()
}

impl Element for CheckIPHeader {
    #[inline]
    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let Self { check, faults } = self;
        faults.sift(cx, batch, |packet| check.check(packet));
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(self.faults.read(handler))
    }

    fn write(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<(), String> {
        self.faults.reset();
        Ok(())
    }
}

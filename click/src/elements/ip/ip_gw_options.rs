use super::header;
use crate::args::Args;
use crate::element::{Context, Element, read};
use crate::headers::{IPV4, checksum};
use crate::packet::{Batch, Packet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// User annotation that says which header byte is wrong.
const PARAMETER: usize = 17;

crate::element! {
    /// Does what IP options ask of every router: records its address and the time (RFC 791, section 3.1).
    ///
    /// The header is found by the IP header annotation. Packets with a wrong option leave by output 1, with the byte's
    /// place in the annotation that `ICMPError` reads, or are dropped if it is not there.
    ///
    /// # Arguments
    /// `MYADDR`: the address on the network that packets leave to. `OTHERADDRS`: the router's others, separated by
    /// spaces.
    ///
    /// # Handlers
    /// `drops`: packets with a wrong option.
    IPGWOptions "1/1-2" "a/ah"
    keywords ["MYADDR", "OTHERADDRS"]
    handlers [read("drops")]
    { options: Options, drops: u64 }
}

/// Who does it.
pub(super) struct Options {
    own: [u8; 4],
    all: Vec<[u8; 4]>,
}

impl Options {
    pub(super) fn new(own: [u8; 4]) -> Self {
        Self { own, all: alloc::vec![own] }
    }

    /// Does what a packet's options ask; `false`: one is wrong, and the annotation says which.
    pub(super) fn process(&self, packet: &mut Packet, milliseconds: u32) -> bool {
        let Some((at, h)) = header(packet) else { return true };
        if h.header == IPV4 {
            return true;
        }
        let ip = &mut packet.data_mut()[at..at + h.header];
        match self.walk(ip, milliseconds) {
            Ok(false) => true,
            Ok(true) => {
                ip[10..12].fill(0);
                let sum = checksum(ip);
                ip[10..12].copy_from_slice(&sum);
                true
            }
            Err(place) => {
                packet.user()[PARAMETER] = place as u8;
                false
            }
        }
    }

    /// Whether the header changed; or the place of the byte that is wrong.
    fn walk(&self, ip: &mut [u8], milliseconds: u32) -> Result<bool, usize> {
        let (mut at, mut changed) = (IPV4, false);
        while at < ip.len() {
            let length = match ip[at] {
                0 => break,
                1 => {
                    at += 1;
                    continue;
                }
                _ => usize::from(*ip.get(at + 1).ok_or(at)?),
            };
            let Some(option) = ip.get_mut(at..at + length).filter(|o| o.len() >= 2) else {
                return Err(at + 1);
            };
            changed |= match option[0] {
                7 => self.record(option).map_err(|by| at + by)?,
                68 => self.stamp(option, milliseconds).map_err(|by| at + by)?,
                _ => false,
            };
            at += length;
        }
        Ok(changed)
    }

    /// Record route.
    fn record(&self, option: &mut [u8]) -> Result<bool, usize> {
        let pointer = usize::from(*option.get(2).ok_or(1usize)?);
        if pointer < 4 {
            return Err(2);
        }
        let length = option.len();
        match option.get_mut(pointer - 1..pointer + 3) {
            Some(place) => {
                place.copy_from_slice(&self.own);
                option[2] += 4;
                Ok(true)
            }
            // It is full; if there is some room, but not enough, something is wrong.
            None if pointer > length => Ok(false),
            None => Err(2),
        }
    }

    /// Internet timestamp.
    fn stamp(&self, option: &mut [u8], milliseconds: u32) -> Result<bool, usize> {
        if option.len() < 4 {
            return Err(1);
        }
        let (pointer, flags) = (usize::from(option[2]), option[3] & 15);
        if pointer < 5 {
            return Err(2);
        }
        let size = match flags {
            0 => 4,
            1 | 3 => 8,
            _ => return Err(3),
        };
        let length = option.len();
        let Some(place) = option.get_mut(pointer - 1..pointer - 1 + size) else {
            if pointer <= length {
                return Err(2);
            }
            // Routers that found no room are counted.
            let overflow = (option[3] >> 4) + 1;
            if overflow > 15 {
                return Err(3);
            }
            option[3] = overflow << 4 | flags;
            return Ok(true);
        };
        let time = milliseconds.to_be_bytes();
        match flags {
            0 => place.copy_from_slice(&time),
            1 => {
                place[..4].copy_from_slice(&self.own);
                place[4..].copy_from_slice(&time);
            }
            _ => {
                if !self.all.iter().any(|a| place[..4] == *a) {
                    return Ok(false);
                }
                place[4..].copy_from_slice(&time);
            }
        }
        option[2] += size as u8;
        Ok(true)
    }
}

/// Milliseconds since midnight, universal time.
pub(super) fn milliseconds(cx: &Context<'_>) -> u32 {
    (cx.host.wall_clock() / 1_000_000 % 86_400_000) as u32
}

impl IPGWOptions {
    fn new(args: &mut Args<'_>) -> Self {
        let mut options = Options::new(args.required::<crate::args::Ipv4>("MYADDR").0);
        for word in args.next::<String>("OTHERADDRS").unwrap_or_default().split_whitespace() {
            match args.names.ipv4(word) {
                Some(address) => options.all.push(address),
                None => args.error(format!("OTHERADDRS: expected IP addresses, not '{word}'")),
            }
        }
        Self { options, drops: 0 }
    }
}

impl Element for IPGWOptions {
    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let (now, mut bad) = (milliseconds(cx), Batch::new());
        batch.retain_or_else(|packet| self.options.process(packet, now), |packet| bad.push(packet));
        self.drops += bad.len() as u64;
        cx.output(1, bad);
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(self.drops.to_string())
    }
}

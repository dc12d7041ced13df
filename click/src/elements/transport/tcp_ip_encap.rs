use super::ends::Ends;
use crate::args::{Args, Ipv4, parse_number};
use crate::element::{Context, Element, read_write};
use crate::handlers::parse;
use crate::headers::{IPV4, PROTOCOL_TCP, transport_checksum, write_ipv4};
use crate::packet::{Batch, Packet};
use alloc::format;
use alloc::string::{String, ToString};

/// Bytes of both headers.
const HEADERS: usize = IPV4 + 20;

crate::element! {
    /// Puts TCP and IP headers in front of packets.
    ///
    /// # Arguments
    /// `SRC`, `SPORT`, `DST`, `DPORT`: addresses and ports; DST can be `DST_ANNO`, the packet's destination annotation.
    /// `SEQNO` (0): the first sequence number, which then counts bytes. `ACKNO` (0): what is acknowledged. `FLAGS`
    /// (ACK): a number, or names such as `SYN ACK`. `WINDOW` (65535).
    ///
    /// # Handlers
    /// `src`, `sport`, `dst`, `dport`, `seqno`, `ackno`: the arguments.
    TCPIPEncap "1/1" "a/a"
    keywords ["SRC", "SPORT", "DST", "DPORT", "SEQNO", "ACKNO", "FLAGS", "WINDOW"]
    handlers [
        read_write("src"), read_write("sport"), read_write("dst"), read_write("dport"), read_write("seqno"),
        read_write("ackno"),
    ]
    {
        ends: Ends<Ipv4>,
        sequence: u32,
        acknowledged: u32,
        flags: u8,
        window: u16,
        id: u16,
    }
}

fn flags(text: &str) -> Option<u8> {
    const NAMES: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
    if let Some(number) = parse_number(text) {
        return u8::try_from(number).ok();
    }
    text.split_whitespace().try_fold(0, |flags, word| {
        Some(flags | 1 << NAMES.iter().position(|n| n.eq_ignore_ascii_case(word))?)
    })
}

impl TCPIPEncap {
    fn new(args: &mut Args<'_>) -> Self {
        let source = (args.required("SRC"), args.required("SPORT"));
        let to: String = args.required("DST");
        let address = args.names.ipv4(&to).map(Ipv4);
        if address.is_none() && to != "DST_ANNO" {
            args.error(format!("DST: expected an IP address or DST_ANNO, not '{to}'"));
        }
        let destination = (address, args.required("DPORT"));
        let sequence = args.next("SEQNO").unwrap_or(0);
        let acknowledged = args.next("ACKNO").unwrap_or(0);
        let text: String = args.next("FLAGS").unwrap_or_else(|| "ACK".to_string());
        let bits = flags(&text);
        if bits.is_none() {
            args.error(format!("FLAGS: expected TCP flags, not '{text}'"));
        }
        let window = args.next("WINDOW").unwrap_or(65535);
        Self {
            ends: Ends { source, destination },
            sequence,
            acknowledged,
            flags: bits.unwrap_or(0),
            window,
            id: 0,
        }
    }

    fn encapsulate(&mut self, packet: &mut Packet) -> bool {
        let payload = packet.len() as u32;
        let Ok(total) = u16::try_from(packet.len() + HEADERS) else { return false };
        let destination = self.ends.destination.0.map_or(packet.destination(), |d| d.0);
        if packet.push(HEADERS).is_none() {
            return false;
        }
        let (ip, tcp) = packet.data_mut().split_at_mut(IPV4);
        write_ipv4(ip, total, self.id, PROTOCOL_TCP, self.ends.source.0.0, destination);
        self.id = self.id.wrapping_add(1);
        tcp[0..2].copy_from_slice(&self.ends.source.1.to_be_bytes());
        tcp[2..4].copy_from_slice(&self.ends.destination.1.to_be_bytes());
        tcp[4..8].copy_from_slice(&self.sequence.to_be_bytes());
        tcp[8..12].copy_from_slice(&self.acknowledged.to_be_bytes());
        (tcp[12], tcp[13]) = (0x50, self.flags);
        tcp[14..16].copy_from_slice(&self.window.to_be_bytes());
        tcp[16..20].fill(0);
        let sum = transport_checksum(self.ends.source.0.0, destination, PROTOCOL_TCP, tcp);
        tcp[16..18].copy_from_slice(&sum);
        // SYN and FIN take a number each.
        let phantom = u32::from(self.flags & 1) + u32::from(self.flags >> 1 & 1);
        self.sequence = self.sequence.wrapping_add(payload).wrapping_add(phantom);
        packet.set_headers(0, IPV4);
        packet.set_destination(destination);
        true
    }
}

impl Element for TCPIPEncap {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.retain_or_else(|packet| self.encapsulate(packet), drop);
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(match handler {
            "seqno" => self.sequence.to_string(),
            "ackno" => self.acknowledged.to_string(),
            _ => self.ends.read(handler),
        })
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        match handler {
            "seqno" => self.sequence = parse(cx, value)?,
            "ackno" => self.acknowledged = parse(cx, value)?,
            _ => return self.ends.write(cx, handler, value),
        }
        Ok(())
    }
}

use super::set_checksum;
use crate::args::Args;
use crate::element::{Context, Element, read};
use crate::elements::content::annotation_of;
use crate::elements::ip::header;
use crate::headers::{IPV4, PROTOCOL_TCP, checksum};
use crate::packet::{Batch, Packet};
use alloc::string::{String, ToString};

/// Bytes of a TCP header without options.
const TCP: usize = 20;
/// Flags that belong to a segment's end: FIN and PSH.
const LAST: u8 = 1 | 8;

crate::element! {
    /// Cuts TCP packets that are too large into several.
    ///
    /// Each is a packet of its own with a part of the data, the sequence number that belongs to it, and right checksums; what
    /// lies in front of the IP header is in front of each. FIN and PSH are in the last. Other packets pass.
    ///
    /// # Arguments
    /// `MTU`: most bytes from the IP header on. `MTU_ANNO`: an annotation of two bytes with a number that counts if it is
    /// less, and not 0. One of them is needed.
    ///
    /// # Handlers
    /// `count`: packets seen. `fragmented_count`: packets cut. `fragments`: packets made of these.
    TCPFragmenter "1/1" "h/h"
    keywords ["MTU", "MTU_ANNO"]
    handlers [read("count"), read("fragmented_count"), read("fragments")]
    { most: usize, place: Option<usize>, count: u64, cut: u64, made: u64 }
}

impl TCPFragmenter {
    fn new(args: &mut Args<'_>) -> Self {
        let most: u16 = args.next("MTU").unwrap_or(0);
        let name: Option<String> = args.key("MTU_ANNO");
        let place = name.and_then(|name| annotation_of(args, "MTU_ANNO", name));
        if most == 0 && place.is_none() {
            args.error("At least one of MTU and MTU_ANNO must be set");
        }
        Self { most: most.into(), place, count: 0, cut: 0, made: 0 }
    }

    /// Most bytes of a packet from the IP header on; 0: any.
    fn most(&self, packet: &mut Packet) -> usize {
        let user = packet.user();
        let own = self.place.and_then(|place| Some(u16::from_ne_bytes(*user.get(place..)?.first_chunk()?)));
        match own {
            Some(own @ 1..) if self.most == 0 || usize::from(own) < self.most => own.into(),
            _ => self.most,
        }
    }

    /// The packets that one is cut into; `None`: it stays as it is.
    fn cut(&mut self, packet: &mut Packet) -> Option<Batch> {
        let most = self.most(packet);
        let (at, ip) = header(packet)?;
        let is_whole = ip.fragment_offset == 0 && !ip.more_fragments && ip.protocol == PROTOCOL_TCP;
        if most == 0 || !is_whole || ip.total <= most || packet.len() < at + ip.total {
            return None;
        }
        let tcp = at + ip.header;
        let offset = 4 * usize::from(packet.data().get(tcp + 12)? >> 4);
        let (headers, end) = (tcp + offset, at + ip.total);
        let room = most.checked_sub(ip.header + offset).filter(|&room| room > 0 && offset >= TCP)?;
        let data = packet.data();
        let mut parts = Batch::new();
        for (n, part) in data.get(headers..end)?.chunks(room).enumerate() {
            let mut one = Packet::new(headers + part.len())?;
            one.annotate_as(packet);
            one.put_slice(&data[..headers])?;
            one.put_slice(part)?;
            one.set_headers(at, tcp);
            let bytes = one.data_mut();
            bytes[at + 2..at + 4].copy_from_slice(&((headers - at + part.len()) as u16).to_be_bytes());
            bytes[at + 10..at + 12].fill(0);
            let sum = checksum(&bytes[at..at + ip.header.max(IPV4)]);
            bytes[at + 10..at + 12].copy_from_slice(&sum);
            let first = u32::from_be_bytes(*bytes[tcp + 4..].first_chunk()?);
            let seq = first.wrapping_add((n * room) as u32);
            bytes[tcp + 4..tcp + 8].copy_from_slice(&seq.to_be_bytes());
            if headers + n * room + part.len() < end {
                bytes[tcp + 13] &= !LAST;
            }
            set_checksum(&mut one, PROTOCOL_TCP, 16, TCP);
            parts.push(one);
        }
        Some(parts)
    }
}

impl Element for TCPFragmenter {
    fn push(&mut self, cx: &mut Context<'_>, _: usize, mut batch: Batch) {
        let mut out = Batch::new();
        while let Some(mut packet) = batch.pop() {
            self.count += 1;
            match self.cut(&mut packet) {
                Some(parts) => {
                    self.cut += 1;
                    self.made += parts.len() as u64;
                    out.append(parts);
                }
                None => out.push(packet),
            }
        }
        cx.output(0, out);
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(match handler {
            "count" => self.count,
            "fragments" => self.made,
            _ => self.cut,
        }
        .to_string())
    }
}

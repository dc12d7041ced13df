use super::field::{Field, Header};
use crate::args::Args;
use crate::element::{Context, Element, read};
use crate::elements::content::AGGREGATE;
use crate::packet::{Batch, Packet};
use alloc::string::{String, ToString};

crate::element! {
    /// Sets the aggregate annotation to a field of the IP header, of the header behind it, or of the payload.
    ///
    /// Packets without that field, later fragments for example, leave by output 1, or are dropped if it is not there.
    ///
    /// # Arguments
    /// `FIELD`: `HEADER NAME`, as in `ip src` or `tcp flags`, or `HEADER[FIRST:BYTES]`, `HEADER{FIRST:BITS}`, also with
    /// `[FIRST-LAST]` or a single one. Headers: `ip`, `tcp`, `udp`, `icmp`, `ip proto N`, `tcpudp`, `transp` for any, and
    /// `payload` or `data` for what TCP and UDP carry. `/N` behind it takes the first bits, `& MASK` those of a mask. All
    /// bits lie in one word of four bytes, counted from the header's beginning. `INCREMENTAL` (false): put the value behind
    /// the aggregate annotation, which moves up by as many bits. `UNSHIFT_IP_ADDR` (false): bits of an IP address stay
    /// where they are in it.
    ///
    /// # Handlers
    /// `header`: the header. `field`: the field. `bit_offset`, `bit_length`: where it is, and its length.
    AggregateIP "1/1-2" "a/ah"
    keywords ["FIELD", "INCREMENTAL", "UNSHIFT_IP_ADDR"]
    handlers [read("header"), read("field"), read("bit_offset"), read("bit_length")]
    { field: Field, behind: bool, place: usize, shift: u32, mask: u32 }
}

impl AggregateIP {
    fn new(args: &mut Args<'_>) -> Self {
        let text: String = args.required("FIELD");
        let behind = args.key("INCREMENTAL").unwrap_or(false);
        let stays = args.key("UNSHIFT_IP_ADDR").unwrap_or(false);
        let field = Field::parse(&text).unwrap_or_else(|message| {
            args.error(message);
            Field { header: Header::Ip, offset: 0, length: 1 }
        });
        let last = field.offset + field.length - 1;
        if field.offset / 32 != last / 32 {
            args.error("field specification does not fit within a single word");
        } else if field.length == 32 && behind {
            args.error("'INCREMENTAL' is incompatible with field length 32");
        }
        let mask = u32::MAX >> (32 - field.length.min(32));
        let shift = 31 - last % 32;
        let is_address = field.header == Header::Ip && (96..160).contains(&field.offset);
        let (mask, shift) = if stays && is_address { (mask << shift, 0) } else { (mask, shift) };
        Self { field, behind, place: (field.offset / 32) as usize * 4, shift, mask }
    }

    fn value(&self, packet: &Packet) -> Option<u32> {
        let at = self.field.header.place(packet)? + self.place;
        let word = packet.data().get(at..)?.first_chunk()?;
        Some((u32::from_be_bytes(*word) >> self.shift) & self.mask)
    }
}

impl Element for AggregateIP {
    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let others = batch.partition(|packet| {
            let Some(value) = self.value(packet) else { return false };
            let before = if self.behind { AGGREGATE.get(packet) << self.field.length } else { 0 };
            AGGREGATE.set(packet, before.wrapping_add(value));
            true
        });
        cx.output(1, others);
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(match handler {
            "header" => self.field.header.to_string(),
            "field" => self.field.to_string(),
            "bit_offset" => self.field.offset.to_string(),
            _ => self.field.length.to_string(),
        })
    }
}

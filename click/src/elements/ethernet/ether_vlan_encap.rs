use super::vlan::{TAG, TAGGED, Tag, arguments, identifier};
use crate::args::{Args, Ethernet};
use crate::element::{Context, Element, argument, keyword, read_write};
use crate::handlers::parse;
use crate::headers::{ETHERNET, write_ethernet};
use crate::packet::{Batch, Packet};
use alloc::string::{String, ToString};

crate::element! {
    /// Puts an Ethernet header with a VLAN tag in front of packets.
    ///
    /// # Arguments
    /// `ETHERTYPE`: protocol of the payload (0x0800: IPv4). `SRC`, `DST`: addresses. `VLAN_TCI`: the tag's 16 bits, or
    /// `ANNO`, the packet's VLAN annotation, which counts also if none of these is given; or `VLAN_ID` (also `ANNO`).
    /// `VLAN_PCP` (0): its priority. `NATIVE_VLAN` (0): packets of this VLAN get no tag; `none`: all get one.
    ///
    /// # Handlers
    /// `src`, `dst`, `ethertype`: the arguments. `vlan_id`: the identifier, or ANNO. `vlan_tci`,
    /// `vlan_pcp`, `native_vlan`: the arguments.
    EtherVLANEncap "1/1" "a/a"
    keywords ["ETHERTYPE", "SRC", "DST", "VLAN_TCI", "VLAN_ID", "VLAN_PCP", "NATIVE_VLAN"]
    handlers [read_write("src"), read_write("dst"), read_write("ethertype"), read_write("vlan_id"),
        argument("vlan_tci", 3), keyword("vlan_pcp"), keyword("native_vlan"),
    ]
    { kind: u16, source: Ethernet, destination: Ethernet, tag: Tag }
}

impl EtherVLANEncap {
    fn new(args: &mut Args<'_>) -> Self {
        let kind = args.required("ETHERTYPE");
        let (source, destination) = (args.required("SRC"), args.required("DST"));
        Self { kind, source, destination, tag: arguments(args) }
    }

    fn encapsulate(&self, packet: &mut Packet) -> bool {
        let tag = self.tag.of(packet);
        let length = if tag.is_some() { TAGGED } else { ETHERNET };
        if packet.push(length).is_none() {
            return false;
        }
        let data = packet.data_mut();
        let outer = if tag.is_some() { TAG } else { self.kind };
        write_ethernet(data, self.destination.0, self.source.0, outer);
        if let Some(tag) = tag {
            data[14..16].copy_from_slice(&tag);
            data[16..18].copy_from_slice(&self.kind.to_be_bytes());
        }
        packet.set_mac();
        true
    }
}

impl Element for EtherVLANEncap {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.retain_or_else(|packet| self.encapsulate(packet), drop);
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(match handler {
            "src" => self.source.to_string(),
            "dst" => self.destination.to_string(),
            "ethertype" => self.kind.to_string(),
            _ => self.tag.id(),
        })
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        let upper = self.tag.tci.unwrap_or(0) & 0xf000;
        match handler {
            "src" => self.source = parse(cx, value)?,
            "dst" => self.destination = parse(cx, value)?,
            "ethertype" => self.kind = parse(cx, value)?,
            _ if value == "ANNO" => self.tag.tci = None,
            _ => self.tag.tci = Some(upper | identifier(value).ok_or("expected a VLAN identifier")?),
        }
        Ok(())
    }
}

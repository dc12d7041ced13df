use super::vlan::{TAG, Tag, arguments, identifier};
use crate::args::Args;
use crate::element::{Context, Element, argument, keyword, read_write};
use crate::packet::{Batch, Packet};
use alloc::string::String;

crate::element! {
    /// Puts a VLAN tag into Ethernet frames.
    ///
    /// Packets without a whole Ethernet header are dropped.
    ///
    /// # Arguments
    /// `VLAN_TCI`: the tag's 16 bits, or `ANNO`, the packet's VLAN annotation, which counts also if none of these is
    /// given; or `VLAN_ID` (also `ANNO`). `VLAN_PCP` (0): its priority. `NATIVE_VLAN` (0): frames of this VLAN get no
    /// tag; `none`: all get one. `ETHERTYPE` (0x8100): that of the tag.
    ///
    /// # Handlers
    /// `vlan_id`: the identifier, or ANNO. `vlan_tci`, `vlan_pcp`, `native_vlan`, `ethertype`: the arguments.
    VLANEncap "1/1" "a/a"
    keywords ["VLAN_TCI", "VLAN_ID", "VLAN_PCP", "NATIVE_VLAN", "ETHERTYPE"]
    handlers [
        read_write("vlan_id"), argument("vlan_tci", 0), keyword("vlan_pcp"), keyword("native_vlan"),
        keyword("ethertype"),
    ]
    { tag: Tag, kind: u16 }
}

impl VLANEncap {
    fn new(args: &mut Args<'_>) -> Self {
        Self { tag: arguments(args), kind: args.key("ETHERTYPE").unwrap_or(TAG) }
    }

    fn encapsulate(&self, packet: &mut Packet) -> bool {
        if packet.len() < 14 {
            return false;
        }
        let Some(tag) = self.tag.of(packet) else { return true };
        if packet.push(4).is_none() {
            return false;
        }
        let data = packet.data_mut();
        data.copy_within(4..16, 0);
        data[12..14].copy_from_slice(&self.kind.to_be_bytes());
        data[14..16].copy_from_slice(&tag);
        packet.set_mac();
        true
    }
}

impl Element for VLANEncap {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.retain_or_else(|packet| self.encapsulate(packet), drop);
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(self.tag.id())
    }

    fn write(&mut self, _: &mut Context<'_>, _: &str, value: &str) -> Result<(), String> {
        let upper = self.tag.tci.unwrap_or(0) & 0xf000;
        self.tag.tci = match value {
            "ANNO" => None,
            text => Some(upper | identifier(text).ok_or("expected a VLAN identifier")?),
        };
        Ok(())
    }
}

use super::vlan::{identifier, priority, set_annotation};
use crate::args::{Args, parse_number};
use crate::element::{Context, Element, read_write};
use crate::packet::Batch;
use alloc::format;
use alloc::string::{String, ToString};

crate::element! {
    /// Sets packets' VLAN annotation.
    ///
    /// # Arguments
    /// `VLAN_TCI` (0): all 16 bits of a tag; or `VLAN_ID`. `VLAN_PCP` (0): its priority.
    ///
    /// # Handlers
    /// `vlan_tci`, `vlan_id`, `vlan_pcp`: the arguments.
    SetVLANAnno "1/1" "a/a"
    keywords ["VLAN_TCI", "VLAN_ID", "VLAN_PCP"]
    handlers [read_write("vlan_tci"), read_write("vlan_id"), read_write("vlan_pcp")]
    { tci: u16 }
}

impl SetVLANAnno {
    fn new(args: &mut Args<'_>) -> Self {
        let id: Option<String> = args.key("VLAN_ID");
        let tci: Option<u16> = if id.is_none() { args.next("VLAN_TCI") } else { None };
        let priority = priority(args);
        let id = id.map_or(Some(0), |text| identifier(&text));
        if id.is_none() {
            args.error("VLAN_ID: expected a VLAN identifier");
        }
        Self { tci: tci.or(id).unwrap_or(0) | priority }
    }
}

impl Element for SetVLANAnno {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.each(|packet| set_annotation(packet, self.tci.to_be_bytes()));
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(match handler {
            "vlan_tci" => self.tci.to_string(),
            "vlan_id" => (self.tci & 0xfff).to_string(),
            _ => (self.tci >> 13).to_string(),
        })
    }

    fn write(&mut self, _: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        let number = |most: u64| {
            let number = parse_number(value).filter(|&n| n <= most).map(|n| n as u16);
            number.ok_or_else(|| format!("expected a number from 0 to {most}, not '{value}'"))
        };
        self.tci = match handler {
            "vlan_tci" => number(0xffff)?,
            "vlan_id" => self.tci & 0xf000 | number(0xfff)?,
            _ => self.tci & 0x1fff | number(7)? << 13,
        };
        Ok(())
    }
}

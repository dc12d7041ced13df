use super::set_udp_checksum::set;
use crate::args::{Args, Ipv4};
use crate::batch::Batch;
use crate::element::{Class, Context, Element, Handler, read_write};
use crate::elements::boxed;
use crate::headers::{IPV4, PROTOCOL_UDP, write_ipv4};
use crate::packet::Packet;
use alloc::boxed::Box;
use alloc::string::{String, ToString};

/// Puts UDP and IP headers in front of each packet, and sets the header and destination annotations.
///
/// Arguments: `SRC`, `SPORT`, `DST` (an address, or `DST_ANNO` for the annotation), `DPORT`, `CHECKSUM` (of UDP, default
/// true). One input, one output. Handlers: `src`, `sport`, `dst`, `dport` (read, write).
#[derive(Debug)]
pub struct UDPIPEncap {
    source: [u8; 4],
    source_port: u16,
    destination: Option<[u8; 4]>,
    destination_port: u16,
    checksum: bool,
    id: u16,
}

/// The class.
pub const CLASS: Class = Class {
    name: "UDPIPEncap",
    ports: "1/1",
    processing: "a/a",
    keywords: &["SRC", "SPORT", "DST", "DPORT", "CHECKSUM"],
    make,
};

fn make(args: &mut Args<'_>) -> Box<dyn Element> {
    let source = args.required::<Ipv4>("SRC").0;
    let source_port = args.required("SPORT");
    let text: String = args.required("DST");
    let destination = match text.as_str() {
        "DST_ANNO" | "DST_ADDR" => None,
        other => {
            let address = args.names.ipv4(other);
            if address.is_none() {
                args.error(alloc::format!("DST: expected an IP address, not '{other}'"));
            }
            address
        }
    };
    boxed(UDPIPEncap {
        source,
        source_port,
        destination,
        destination_port: args.required("DPORT"),
        checksum: args.next("CHECKSUM").unwrap_or(true),
        id: 0,
    })
}

impl UDPIPEncap {
    fn encap(&mut self, p: &mut Packet) -> bool {
        const HEADERS: usize = IPV4 + 8;
        let payload = p.len();
        if payload + HEADERS > 65535 || p.push(HEADERS).is_none() {
            return false;
        }
        let destination = self.destination.unwrap_or(p.destination());
        self.id = self.id.wrapping_add(1);
        let data = p.data_mut();
        write_ipv4(data, (payload + HEADERS) as u16, self.id, PROTOCOL_UDP, self.source, destination);
        data[20..22].copy_from_slice(&self.source_port.to_be_bytes());
        data[22..24].copy_from_slice(&self.destination_port.to_be_bytes());
        data[24..26].copy_from_slice(&((payload + 8) as u16).to_be_bytes());
        data[26..28].fill(0);
        p.set_headers(0, IPV4);
        p.set_destination(destination);
        !self.checksum || set(p)
    }
}

impl Element for UDPIPEncap {
    fn act(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        batch.sift(|p| self.encap(p), |p| cx.kill_one(p));
    }

    fn handlers(&self) -> &'static [Handler] {
        &[read_write("src"), read_write("sport"), read_write("dst"), read_write("dport")]
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str) -> String {
        let word = |a: [u8; 4]| core::net::Ipv4Addr::from(a).to_string();
        match handler {
            "src" => word(self.source),
            "sport" => self.source_port.to_string(),
            "dst" => self.destination.map_or("DST_ANNO".to_string(), word),
            _ => self.destination_port.to_string(),
        }
    }

    fn write(&mut self, _: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        let address = || value.parse::<core::net::Ipv4Addr>().map(|a| a.octets()).map_err(|_| "expected an IP address");
        let port = || value.parse::<u16>().map_err(|_| "expected a port");
        match handler {
            "src" => self.source = address()?,
            "sport" => self.source_port = port()?,
            "dst" => self.destination = Some(address()?),
            _ => self.destination_port = port()?,
        }
        Ok(())
    }
}

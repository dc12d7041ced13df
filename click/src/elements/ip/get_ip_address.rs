use super::header;
use crate::args::{Args, parse_number};
use crate::element::{Context, Element};
use crate::headers::four;
use crate::packet::Batch;
use alloc::format;
use alloc::string::String;

crate::element! {
    /// Sets the destination annotation from the packet.
    ///
    /// Packets without the address keep the annotation that they have.
    ///
    /// # Arguments
    /// `OFFSET`: where the address begins (16 in an IP header: the destination). Or `IP`: `src` or `dst`, found by the IP
    /// header annotation. `ANNO` (0): the annotation's place in the user annotations, by number or name.
    GetIPAddress "1/1" "a/a"
    keywords ["OFFSET", "IP", "ANNO"]
    { place: Place, annotation: usize }
}

#[derive(Clone, Copy)]
enum Place {
    Data(usize),
    Header(usize),
}

impl GetIPAddress {
    fn new(args: &mut Args<'_>) -> Self {
        let text: String = args.key("IP").or_else(|| args.next("OFFSET")).unwrap_or_default();
        let place = match text.as_str() {
            "src" | "ip src" => Place::Header(12),
            "dst" | "ip dst" => Place::Header(16),
            number => Place::Data(parse_number(number).map_or(0, |n| n as usize)),
        };
        if matches!(place, Place::Data(_)) && parse_number(&text).is_none() {
            args.error(format!("OFFSET: expected an offset, or 'src' or 'dst', not '{text}'"));
        }
        Self { place, annotation: super::annotation_place(args) }
    }
}

impl Element for GetIPAddress {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.each(|packet| {
            let at = match self.place {
                Place::Data(at) => Some(at),
                Place::Header(by) => header(packet).map(|(at, _)| at + by),
            };
            if let Some(address) = at.and_then(|at| four(packet.data(), at)) {
                packet.user()[self.annotation..self.annotation + 4].copy_from_slice(&address);
            }
        });
    }
}

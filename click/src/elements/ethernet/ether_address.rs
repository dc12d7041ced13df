//! Ethernet addresses in packets and in their annotations.

use crate::args::{Args, Ethernet, parse_number};
use crate::element::{Context, Element, argument, read_write};
use crate::elements::content::annotation_of;
use crate::handlers::parse;
use crate::packet::{Batch, Packet, USER_BYTES};
use alloc::format;
use alloc::string::{String, ToString};

/// The argument `ANNO`: where in the user annotations the six bytes lie.
fn annotation(args: &mut Args<'_>) -> Option<usize> {
    let text: String = args.next("ANNO")?;
    let at = annotation_of(args, "ANNO", text)?;
    if at + 6 > USER_BYTES {
        args.error("ANNO: an Ethernet address takes six bytes, of which the last are not there");
        return None;
    }
    Some(at)
}

/// The argument `OFFSET`: a number, `src` or `dst`.
fn offset(args: &mut Args<'_>) -> usize {
    let text: String = args.required("OFFSET");
    match text.to_ascii_lowercase().as_str() {
        "src" => 6,
        "dst" => 0,
        number => parse_number(number).and_then(|n| usize::try_from(n).ok()).unwrap_or_else(|| {
            args.error(format!("OFFSET: expected an offset, or 'src' or 'dst', not '{text}'"));
            0
        }),
    }
}

crate::element! {
    /// Writes an Ethernet address into packets.
    ///
    /// Packets that lack the place leave by output 1, or are dropped if it is not there.
    ///
    /// # Arguments
    /// `ADDR`: the address, or `ANNO`: where it is in the user annotations, by number or name. `OFFSET`: where it goes;
    /// `src` or `dst`: into the Ethernet header at the packet's front.
    ///
    /// # Handlers
    /// `addr`: the address.
    StoreEtherAddress "1/1-2" "a/ah"
    keywords ["ADDR", "OFFSET", "ANNO"]
    handlers [read_write("addr")]
    { address: Ethernet, annotation: Option<usize>, offset: usize }
}

impl StoreEtherAddress {
    fn new(args: &mut Args<'_>) -> Self {
        let annotation = if args.has("ANNO") { annotation(args) } else { None };
        let address = if annotation.is_none() { args.next("ADDR") } else { args.key("ADDR") };
        if address.is_some() == annotation.is_some() {
            args.error("must specify exactly one of ADDR/ANNO");
        }
        Self { address: address.unwrap_or_default(), annotation, offset: offset(args) }
    }
}

impl Element for StoreEtherAddress {
    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let store = |packet: &mut Packet| {
            let address = match self.annotation {
                Some(at) => core::array::from_fn(|i| packet.user()[at + i]),
                None => self.address.0,
            };
            let place = packet.data_mut().get_mut(self.offset..).and_then(|d| d.first_chunk_mut());
            place.map(|place| *place = address).is_some()
        };
        let others = batch.partition(store);
        cx.output(1, others);
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(self.address.to_string())
    }

    fn write(&mut self, cx: &mut Context<'_>, _: &str, value: &str) -> Result<(), String> {
        self.address = parse(cx, value)?;
        Ok(())
    }
}

crate::element! {
    /// Sets an annotation to an Ethernet address.
    ///
    /// # Arguments
    /// `ADDR`: the address. `ANNO`: where in the user annotations it goes, by number or name.
    ///
    /// # Handlers
    /// `addr`: the address.
    SetEtherAddress "1/1" "a/a"
    keywords ["ADDR", "ANNO"]
    handlers [argument("addr", 0)]
    { address: Ethernet, annotation: usize }
}

impl SetEtherAddress {
    fn new(args: &mut Args<'_>) -> Self {
        let address = args.required("ADDR");
        let annotation = annotation(args);
        if annotation.is_none() {
            args.error("missing mandatory ANNO argument");
        }
        Self { address, annotation: annotation.unwrap_or(0) }
    }
}

impl Element for SetEtherAddress {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.each(|packet| packet.user()[self.annotation..][..6].copy_from_slice(&self.address.0));
    }
}

crate::element! {
    /// Sets an annotation to an Ethernet address in the packet.
    ///
    /// Packets that lack it leave by output 1, or are dropped if it is not there.
    ///
    /// # Arguments
    /// `ANNO`: where in the user annotations it goes, by number or name. `OFFSET`: where it is; `src` or `dst`: in the
    /// Ethernet header at the packet's front.
    GetEtherAddress "1/1-2" "a/ah"
    keywords ["ANNO", "OFFSET"]
    { annotation: usize, offset: usize }
}

impl GetEtherAddress {
    fn new(args: &mut Args<'_>) -> Self {
        let annotation = annotation(args);
        if annotation.is_none() {
            args.error("missing mandatory ANNO argument");
        }
        Self { annotation: annotation.unwrap_or(0), offset: offset(args) }
    }
}

impl Element for GetEtherAddress {
    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let get = |packet: &mut Packet| {
            let address = packet.data().get(self.offset..).and_then(|d| d.first_chunk::<6>()).copied();
            address.map(|a| packet.user()[self.annotation..][..6].copy_from_slice(&a)).is_some()
        };
        let others = batch.partition(get);
        cx.output(1, others);
    }
}

//! What looks at packets' bytes and annotations, whatever they mean, and counts.

mod adjust_timestamp;
mod align;
mod average_counter;
mod check_anno;
mod check_crc32;
mod check_length;
mod check_paint;
mod classifier;
mod clipboard;
mod counter;
mod mark_mac_header;
mod message;
mod pad;
mod paint;
mod paint_tee;
mod print;
mod printer;
mod resize;
mod set_anno_byte;
mod set_crc32;
mod set_packet_type;
mod set_timestamp;
mod set_timestamp_delta;
mod store_data;
mod strip;
mod time_filter;
mod truncate;
mod unstrip;

pub use adjust_timestamp::AdjustTimestamp;
pub use align::Align;
pub use average_counter::AverageCounter;
pub use check_anno::CheckAnno;
pub use check_crc32::CheckCRC32;
pub use check_length::CheckLength;
pub use check_paint::CheckPaint;
pub use classifier::Classifier;
pub(crate) use classifier::{Runs, distribute, one_each, warn_of_unused};
pub use clipboard::Clipboard;
pub use counter::Counter;
pub(crate) use counter::{Call, call};
pub use mark_mac_header::MarkMACHeader;
pub use message::Message;
pub use pad::Pad;
pub use paint::Paint;
pub use paint_tee::PaintTee;
pub use print::Print;
pub(crate) use printer::Printer;
pub use resize::Resize;
pub use set_anno_byte::SetAnnoByte;
pub use set_crc32::SetCRC32;
pub use set_packet_type::SetPacketType;
pub use set_timestamp::SetTimestamp;
pub use set_timestamp_delta::SetTimestampDelta;
pub use store_data::StoreData;
pub use strip::Strip;
pub use time_filter::TimeFilter;
pub use truncate::Truncate;
pub use unstrip::Unstrip;

use crate::args::Args;
use crate::packet::{PAINT, Packet, USER_BYTES};
use alloc::string::String;

/// A number in the user annotations.
#[derive(Clone, Copy)]
pub struct Anno32(usize);

impl Anno32 {
    /// The number that begins at a byte of the user annotations, if it ends within them.
    pub fn at(byte: usize) -> Option<Self> {
        (byte + 4 <= USER_BYTES).then_some(Self(byte))
    }

    /// Its value.
    #[inline]
    pub fn get(self, packet: &mut Packet) -> u32 {
        u32::from_ne_bytes(core::array::from_fn(|i| packet.user()[self.0 + i]))
    }

    /// Changes it.
    #[inline]
    pub fn set(self, packet: &mut Packet, value: u32) {
        packet.user()[self.0..self.0 + 4].copy_from_slice(&value.to_ne_bytes());
    }
}

/// What a packet belongs to, for elements that count by it.
pub const AGGREGATE: Anno32 = Anno32(20);
/// Rates from a packet's source and to its destination.
pub(crate) const FORWARD_RATE: Anno32 = Anno32(20);
pub(crate) const REVERSE_RATE: Anno32 = Anno32(24);
/// Packets that a packet of a trace stands for, beside itself, and bytes that it lacks.
pub const EXTRA_PACKETS: Anno32 = Anno32(24);
/// Bytes that a packet of a trace had and lacks.
pub const EXTRA_LENGTH: Anno32 = Anno32(28);
/// Where the first timestamp lies: 8 bytes of nanoseconds since 1970.
pub const FIRST_TIMESTAMP: usize = 32;

/// Names of user annotations, and their bytes.
const NAMES: &[(&str, usize)] = &[
    ("DST_IP", 0),
    ("DST_IP6", 0),
    ("PAINT", PAINT),
    ("ICMP_PARAMPROB", 17),
    ("FIX_IP_SRC", 19),
    ("VLAN", 20),
    ("VLAN_TCI", 20),
    ("AGGREGATE", 20),
    ("FWD_RATE", 20),
    ("MISC_IP", 20),
    ("EXTRA_PACKETS", 24),
    ("REV_RATE", 24),
    ("IPREASSEMBLER", 28),
    ("EXTRA_LENGTH", 28),
    ("FIRST_TIMESTAMP", FIRST_TIMESTAMP),
    ("PACKET_NUMBER", 32),
    ("SEQUENCE_NUMBER", 36),
];

/// The next argument, or `ANNO`: a byte of the user annotations, by number or name.
pub(super) fn annotation(args: &mut Args<'_>) -> Option<usize> {
    let text = args.next("ANNO")?;
    annotation_of(args, "ANNO", text)
}

/// The byte of the user annotations that an argument names.
pub(crate) fn annotation_of(args: &mut Args<'_>, argument: &str, text: String) -> Option<usize> {
    let named = NAMES.iter().find(|n| n.0 == text).map(|n| n.1);
    let at = named.or_else(|| crate::args::parse_number(&text).map(|n| n as usize));
    if at.is_none_or(|n| n >= USER_BYTES) {
        args.error(alloc::format!("{argument}: expected an annotation byte, not '{text}'"));
    }
    at.filter(|&n| n < USER_BYTES)
}

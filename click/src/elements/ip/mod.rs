//! IPv4: headers, options, fragments, routes, filters, rates.

mod check_ip_header;
mod comparison;
mod dec_ip_ttl;
mod expression;
mod faults;
mod fix_ip_src;
mod get_ip_address;
mod ip_classifier;
mod ip_encap;
mod ip_filter;
mod ip_fragmenter;
mod ip_gw_options;
mod ip_input_combo;
mod ip_mirror;
mod ip_output_combo;
mod ip_print;
mod ip_rate_monitor;
mod ip_reassembler;
mod mark_ip_ce;
mod mark_ip_header;
mod primitive;
mod radix_ip_lookup;
mod reset_ip_checksum;
mod routes;
mod set_ip_address;
mod set_ip_checksum;
mod set_ip_dscp;
mod set_ip_ecn;
mod set_rand_ip_address;
mod static_ip_lookup;
mod store_ip_address;
mod strip_ip_header;
mod truncate_ip_payload;
mod unstrip_ip_header;
mod vocabulary;

pub use check_ip_header::CheckIPHeader;
pub use dec_ip_ttl::DecIPTTL;
pub(crate) use faults::{Faults, Label};
pub(crate) use fix_ip_src::FIX;
pub use fix_ip_src::FixIPSrc;
pub use get_ip_address::GetIPAddress;
pub use ip_classifier::IPClassifier;
pub use ip_encap::IPEncap;
pub use ip_filter::IPFilter;
pub use ip_fragmenter::IPFragmenter;
pub use ip_gw_options::IPGWOptions;
pub use ip_input_combo::IPInputCombo;
pub use ip_mirror::IPMirror;
pub use ip_output_combo::IPOutputCombo;
pub use ip_print::IPPrint;
pub use ip_rate_monitor::IPRateMonitor;
pub use ip_reassembler::IPReassembler;
pub use mark_ip_ce::MarkIPCE;
pub use mark_ip_header::MarkIPHeader;
pub use radix_ip_lookup::RadixIPLookup;
pub use reset_ip_checksum::ResetIPChecksum;
pub use set_ip_address::SetIPAddress;
pub use set_ip_checksum::SetIPChecksum;
pub use set_ip_dscp::SetIPDSCP;
pub use set_ip_ecn::SetIPECN;
pub use set_rand_ip_address::SetRandIPAddress;
pub use static_ip_lookup::StaticIPLookup;
pub use store_ip_address::StoreIPAddress;
pub use strip_ip_header::StripIPHeader;
pub use truncate_ip_payload::TruncateIPPayload;
pub use unstrip_ip_header::UnstripIPHeader;

use crate::args::Args;
use crate::elements::content::annotation_of;
use crate::headers::{Ipv4Header, PROTOCOL_TCP, PROTOCOL_UDP, adjust, difference};
use crate::packet::{Packet, USER_BYTES};

/// The IPv4 header that the annotation names, and where it begins.
#[inline]
pub(crate) fn header(packet: &Packet) -> Option<(usize, Ipv4Header)> {
    let at = packet.network()?;
    Some((at, Ipv4Header::read(packet.data().get(at..)?)?))
}

/// Writes bytes into an IP header at an even place, and changes its checksum with them.
fn rewrite(ip: &mut [u8], at: usize, new: &[u8]) -> u16 {
    let by = difference(&ip[at..at + new.len()], new);
    ip[at..at + new.len()].copy_from_slice(new);
    let sum = adjust([ip[10], ip[11]], by);
    (ip[10], ip[11]) = (sum[0], sum[1]);
    by
}

/// Writes an address into an IP header, and changes checksums, that of TCP or UDP too.
fn rewrite_address(ip: &mut [u8], h: &Ipv4Header, at: usize, address: [u8; 4]) {
    let by = rewrite(ip, at, &address);
    let place = match h.protocol {
        PROTOCOL_TCP => 16,
        PROTOCOL_UDP => 6,
        _ => return,
    };
    let sum = ip.get_mut(h.header + place..).and_then(|s| s.first_chunk_mut::<2>());
    if let Some(sum) = sum.filter(|s| h.fragment_offset == 0 && (h.protocol == PROTOCOL_TCP || **s != [0, 0]))
    {
        *sum = match adjust(*sum, by) {
            [0, 0] if h.protocol == PROTOCOL_UDP => [255, 255],
            sum => sum,
        };
    }
}

/// The number of a protocol's name.
pub(crate) fn protocol(name: &str) -> Option<u8> {
    vocabulary::protocol(name)
}

/// The argument `ANNO` of an address: where in the user annotations its four bytes lie.
fn annotation_place(args: &mut Args<'_>) -> usize {
    let Some(text) = args.key::<alloc::string::String>("ANNO") else { return 0 };
    let place = annotation_of(args, "ANNO", text).unwrap_or(0);
    if place + 4 > USER_BYTES {
        args.error("ANNO: an address takes four bytes, of which the last are not there");
        return 0;
    }
    place
}

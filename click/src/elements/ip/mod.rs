//! IPv4: headers, routes, filters.

mod check_ip_header;
mod dec_ip_ttl;
mod expression;
mod ip_classifier;
mod ip_filter;
mod ip_mirror;
mod mark_ip_header;
mod primitive;
mod radix_ip_lookup;
mod routes;
mod set_ip_checksum;
mod static_ip_lookup;

pub use check_ip_header::CheckIPHeader;
pub use dec_ip_ttl::DecIPTTL;
pub use ip_classifier::IPClassifier;
pub use ip_filter::IPFilter;
pub use ip_mirror::IPMirror;
pub use mark_ip_header::MarkIPHeader;
pub use radix_ip_lookup::RadixIPLookup;
pub use set_ip_checksum::SetIPChecksum;
pub use static_ip_lookup::StaticIPLookup;

use crate::headers::Ipv4Header;
use crate::packet::Packet;

/// The IPv4 header that the annotation names, and where it begins.
#[inline]
pub(crate) fn header(packet: &Packet) -> Option<(usize, Ipv4Header)> {
    let at = packet.network()?;
    Some((at, Ipv4Header::read(packet.data().get(at..)?)?))
}

//! IPv6: headers, routes, errors, neighbours.

mod address_translator;
mod check_ip6_header;
mod dec_ip6_hlim;
mod get_ip6_address;
mod icmp6_error;
mod ip6_encap;
mod ip6_fragmenter;
mod ip6_mirror;
mod ip6_nd_advertiser;
mod ip6_nd_solicitor;
mod ip6_print;
mod lookup_ip6_route;
mod mark_ip6_header;
mod neighbour;
mod protocol_translator;
mod set_ip6_address;
mod set_ip6_dscp;
mod translation;

pub use address_translator::AddressTranslator;
pub use check_ip6_header::CheckIP6Header;
pub use dec_ip6_hlim::DecIP6HLIM;
pub use get_ip6_address::GetIP6Address;
pub use icmp6_error::ICMP6Error;
pub use ip6_encap::IP6Encap;
pub use ip6_fragmenter::IP6Fragmenter;
pub use ip6_mirror::IP6Mirror;
pub use ip6_nd_advertiser::IP6NDAdvertiser;
pub use ip6_nd_solicitor::IP6NDSolicitor;
pub use ip6_print::IP6Print;
pub use lookup_ip6_route::LookupIP6Route;
pub use mark_ip6_header::MarkIP6Header;
pub use protocol_translator::{ProtocolTranslator46, ProtocolTranslator64};
pub use set_ip6_address::SetIP6Address;
pub use set_ip6_dscp::SetIP6DSCP;

use crate::headers::Ipv6Header;
use crate::packet::Packet;

/// The IPv6 header that the annotation names, and where it begins.
fn header(packet: &Packet) -> Option<(usize, Ipv6Header)> {
    let at = packet.network()?;
    Some((at, Ipv6Header::read(packet.data().get(at..)?)?))
}

//! IPv6: headers, routes, errors, neighbours.

mod check_ip6_header;
mod dec_ip6_hlim;
mod icmp6_error;
mod ip6_nd_advertiser;
mod ip6_nd_solicitor;
mod ip6_print;
mod lookup_ip6_route;
mod mark_ip6_header;
mod neighbour;
mod set_ip6_address;

pub use check_ip6_header::CheckIP6Header;
pub use dec_ip6_hlim::DecIP6HLIM;
pub use icmp6_error::ICMP6Error;
pub use ip6_nd_advertiser::IP6NDAdvertiser;
pub use ip6_nd_solicitor::IP6NDSolicitor;
pub use ip6_print::IP6Print;
pub use lookup_ip6_route::LookupIP6Route;
pub use mark_ip6_header::MarkIP6Header;
pub use set_ip6_address::SetIP6Address;

use crate::headers::Ipv6Header;
use crate::packet::Packet;

/// The IPv6 header that the annotation names, and where it begins.
fn header(packet: &Packet) -> Option<(usize, Ipv6Header)> {
    let at = packet.network()?;
    Some((at, Ipv6Header::read(packet.data().get(at..)?)?))
}

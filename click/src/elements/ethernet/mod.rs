//! Ethernet: headers, VLAN tags, a switch.

mod bridge_message;
mod check_arp_header;
mod drop_broadcasts;
mod ensure_ether;
mod ether_address;
mod ether_encap;
mod ether_mirror;
mod ether_rewrite;
mod ether_span_tree;
mod ether_switch;
mod ether_vlan_encap;
mod host_ether_filter;
mod listen_ether_switch;
mod set_vlan_anno;
mod strip_ether_vlan_header;
mod strip_to_network_header;
mod vlan;
mod vlan_decap;
mod vlan_encap;

pub use check_arp_header::CheckARPHeader;
pub use drop_broadcasts::DropBroadcasts;
pub use ensure_ether::EnsureEther;
pub use ether_address::{GetEtherAddress, SetEtherAddress, StoreEtherAddress};
pub use ether_encap::EtherEncap;
pub use ether_mirror::EtherMirror;
pub use ether_rewrite::EtherRewrite;
pub use ether_span_tree::EtherSpanTree;
pub use ether_switch::EtherSwitch;
pub use ether_vlan_encap::EtherVLANEncap;
pub use host_ether_filter::HostEtherFilter;
pub use listen_ether_switch::ListenEtherSwitch;
pub use set_vlan_anno::SetVLANAnno;
pub use strip_ether_vlan_header::StripEtherVLANHeader;
pub use strip_to_network_header::StripToNetworkHeader;
pub use vlan_decap::VLANDecap;
pub use vlan_encap::VLANEncap;

use crate::headers::ETHERNET;
use crate::packet::Kind;

/// To whom a frame was sent, as the host of an address sees it.
pub(crate) fn kind(header: &[u8; ETHERNET], own: [u8; 6]) -> Kind {
    match header[..6] {
        [255, 255, 255, 255, 255, 255] => Kind::Broadcast,
        [first, ..] if first & 1 == 1 => Kind::Multicast,
        ref destination if *destination == own => Kind::Host,
        _ => Kind::Other,
    }
}

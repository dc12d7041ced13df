//! Packets inside of others: GRE, VXLAN, and ESP, which nobody on the way can read or change.

mod esp;
mod esp_tunnel_decap;
mod esp_tunnel_encap;
mod gre_decap;
mod gre_encap;
mod replay;
mod vxlan_decap;
mod vxlan_encap;

pub use esp_tunnel_decap::ESPTunnelDecap;
pub use esp_tunnel_encap::ESPTunnelEncap;
pub use gre_decap::GREDecap;
pub use gre_encap::GREEncap;
pub use vxlan_decap::VXLANDecap;
pub use vxlan_encap::VXLANEncap;

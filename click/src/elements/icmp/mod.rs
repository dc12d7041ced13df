//! ICMP.

mod check_icmp_header;
mod echo;
mod icmp_error;
mod icmp_ip_encap;
mod icmp_ping_encap;
mod icmp_ping_responder;
mod icmp_ping_source;

pub use check_icmp_header::CheckICMPHeader;
pub use icmp_error::ICMPError;
pub(crate) use icmp_error::code_name;
pub use icmp_ip_encap::ICMPIPEncap;
pub use icmp_ping_encap::ICMPPingEncap;
pub use icmp_ping_responder::ICMPPingResponder;
pub use icmp_ping_source::ICMPPingSource;

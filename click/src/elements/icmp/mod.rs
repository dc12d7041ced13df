//! ICMP.

mod icmp_error;
mod icmp_ping_responder;

pub use icmp_error::ICMPError;
pub use icmp_ping_responder::ICMPPingResponder;

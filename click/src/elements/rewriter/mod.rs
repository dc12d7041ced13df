//! Network address translation: elements that remember flows, and rewrite the packets of each and of its answers.
//!
//! A packet's [`flow`] is looked up in a [`table`]; if it is not known, its input's specification ([`input`]) says what
//! becomes of it, usually by a [`pattern`]. What all rewriters do is in [`translation`]; each element adds its arguments.

mod flow;
mod ftp_port_mapper;
mod icmp_ping_rewriter;
mod icmp_rewriter;
mod input;
mod ip_addr_pair_rewriter;
mod ip_addr_rewriter;
mod ip_rewriter;
mod ip_rewriter_patterns;
mod mapper;
mod pattern;
mod pool;
mod round_robin_ip_mapper;
mod sequence;
mod source_ip_hash_mapper;
mod table;
mod tcp_rewriter;
mod translation;
mod udp_rewriter;

pub use ftp_port_mapper::FTPPortMapper;
pub use icmp_ping_rewriter::ICMPPingRewriter;
pub use icmp_rewriter::ICMPRewriter;
pub use ip_addr_pair_rewriter::IPAddrPairRewriter;
pub use ip_addr_rewriter::IPAddrRewriter;
pub use ip_rewriter::IPRewriter;
pub use ip_rewriter_patterns::IPRewriterPatterns;
pub use round_robin_ip_mapper::RoundRobinIPMapper;
pub use source_ip_hash_mapper::SourceIPHashMapper;
pub use tcp_rewriter::TCPRewriter;
pub use udp_rewriter::UDPRewriter;

use crate::element::Context;
use core::any::Any;

/// Mappers are initialized before rewriters ask for them.
const MAPPERS: i32 = -1;

/// The rewriter in an element, if there is one.
fn rewriter<'a>(cx: &'a mut Context<'_>, id: usize) -> Option<&'a mut translation::Rewriter> {
    let element = cx.element(id)? as &mut dyn Any;
    macro_rules! try_as {
        ($($name:ident),*) => {
            $(if element.is::<$name>() {
                return element.downcast_mut::<$name>().map(|e| &mut e.core);
            })*
        };
    }
    try_as!(IPRewriter, TCPRewriter, UDPRewriter, ICMPPingRewriter, IPAddrRewriter, IPAddrPairRewriter);
    None
}

/// The methods of every rewriter, which its `core` has.
macro_rules! rewriter_element {
    ($name:ident) => {
        impl crate::element::Element for $name {
            fn initialize(
                &mut self,
                cx: &mut crate::element::Context<'_>,
            ) -> Result<(), alloc::string::String> {
                self.core.initialize(cx)
            }

            #[inline]
            fn push(
                &mut self,
                cx: &mut crate::element::Context<'_>,
                port: usize,
                batch: crate::packet::Batch,
            ) {
                self.core.push(cx, port, batch);
            }

            fn timer(&mut self, cx: &mut crate::element::Context<'_>) {
                self.core.timer(cx);
            }

            fn take_over(&mut self, old: &mut dyn crate::element::Element) {
                if let Some(old) = (old as &mut dyn core::any::Any).downcast_mut::<Self>() {
                    self.core.take_over(&mut old.core);
                }
            }

            fn read(
                &mut self,
                cx: &mut crate::element::Context<'_>,
                handler: &str,
                argument: &str,
            ) -> Result<alloc::string::String, alloc::string::String> {
                self.core.read(cx, handler, argument)
            }

            fn write(
                &mut self,
                cx: &mut crate::element::Context<'_>,
                handler: &str,
                value: &str,
            ) -> Result<(), alloc::string::String> {
                self.core.write(cx, handler, value)
            }
        }
    };
}
use rewriter_element;

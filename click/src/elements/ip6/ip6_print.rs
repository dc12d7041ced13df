use super::header;
use crate::args::{Args, Ipv6};
use crate::element::{Context, Element, read_write};
use crate::handlers::parse;
use crate::headers::{IPV6, PROTOCOL_ICMP6, PROTOCOL_TCP, PROTOCOL_UDP, be16};
use crate::packet::{Batch, Packet};
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt::Write;

crate::element! {
    /// Prints IPv6 packets in words, one a line.
    ///
    /// The header is found by the network header annotation.
    ///
    /// # Arguments
    /// `LABEL`: what to print first. `NBYTES` (1500): most bytes to print. `CONTENTS` (false): print the packet's bytes.
    /// `ACTIVE` (true).
    ///
    /// # Handlers
    /// `active`: the argument.
    IP6Print "1/1" "a/a"
    keywords ["LABEL", "NBYTES", "CONTENTS", "ACTIVE"]
    handlers [read_write("active")]
    { label: String, most: usize, contents: bool, active: bool }
}

impl IP6Print {
    fn new(args: &mut Args<'_>) -> Self {
        Self {
            label: args.next("LABEL").unwrap_or_default(),
            most: args.key("NBYTES").unwrap_or(1500),
            contents: args.key("CONTENTS").unwrap_or(false),
            active: args.key("ACTIVE").unwrap_or(true),
        }
    }

    fn line(&self, packet: &Packet) -> String {
        let mut out = if self.label.is_empty() { String::new() } else { format!("{}: ", self.label) };
        let Some((at, h)) = header(packet) else { return out + "(Not an IPv6 packet)" };
        let data = &packet.data()[at..];
        let (source, destination) = (Ipv6(h.source), Ipv6(h.destination));
        let port = |by: usize| be16(data, IPV6 + by).unwrap_or(0);
        let _ = match h.next {
            PROTOCOL_TCP | PROTOCOL_UDP => {
                let name = if h.next == PROTOCOL_TCP { "tcp" } else { "udp" };
                write!(out, "{source}.{} > {destination}.{}: {name}", port(0), port(2))
            }
            PROTOCOL_ICMP6 => {
                write!(out, "{source} > {destination}: icmp6 type {} code {}", port(0) >> 8, port(0) & 255)
            }
            other => write!(out, "{source} > {destination}: next header {other}"),
        };
        let _ = write!(out, " length {} hlim {}", h.payload, h.hops);
        if self.contents {
            for (i, byte) in data.iter().take(self.most).enumerate() {
                let _ = write!(out, "{}{byte:02x}", if i % 4 == 0 { " " } else { "" });
            }
        }
        out
    }
}

impl Element for IP6Print {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        cx.take_packets_one_by_one(self.active);
        Ok(())
    }

    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        if self.active {
            batch.each(|packet| cx.print(&self.line(packet)));
        }
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(self.active.to_string())
    }

    fn write(&mut self, cx: &mut Context<'_>, _: &str, value: &str) -> Result<(), String> {
        self.active = parse(cx, value)?;
        self.initialize(cx)
    }
}

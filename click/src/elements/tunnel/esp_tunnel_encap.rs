use super::esp::{ESP, Suite};
use crate::args::{Args, Ipv4};
use crate::element::{Context, Element, read};
use crate::headers::{IPV4, write_ipv4};
use crate::packet::{Batch, Packet};
use alloc::string::{String, ToString};
use core::any::Any;

/// The protocol, and those that can be inside: IPv4, IPv6.
pub(super) const PROTOCOL: u8 = 50;
pub(super) const INSIDE_IPV4: u8 = 4;
pub(super) const INSIDE_IPV6: u8 = 41;

crate::element! {
    /// Encrypts IP packets into IPv4 packets of ESP (RFC 4303, tunnel mode).
    ///
    /// Keys are given, not agreed on. With `KEY` alone it is AES-GCM (RFC 4106), with `AUTH_KEY` too AES-CBC and HMAC-SHA-2
    /// (RFC 3602, RFC 4868). Sequence numbers begin at 1; after 4,294,967,295 packets all are dropped. A router that starts
    /// again begins at 1 again, which the other end takes for packets sent twice until its window is behind: give such a
    /// router new keys. Configurations that are swapped go on.
    ///
    /// # Arguments
    /// `SPI`: number of the security association. `SRC`, `DST`: addresses of the tunnel's ends. `KEY`: 16 or 32 bytes in
    /// hexadecimal digits, for AES-GCM 4 more, the salt. `AUTH_KEY`: 32 bytes for SHA-256, and on a host 64 for SHA-512.
    ///
    /// # Handlers
    /// `count`: packets encrypted. `drops`: those that were no IP packets or too long, or came behind the last number.
    ESPTunnelEncap "1/1" "a/a"
    keywords ["SPI", "SRC", "DST", "KEY", "AUTH_KEY"]
    handlers [read("count"), read("drops")]
    {
        spi: u32,
        source: Ipv4,
        destination: Ipv4,
        suite: Option<Suite>,
        sequence: u32,
        /// Never the same twice: it begins with the time.
        number: u64,
        drops: u64,
    }
}

impl ESPTunnelEncap {
    fn new(args: &mut Args<'_>) -> Self {
        let (spi, source, destination) = (args.required("SPI"), args.required("SRC"), args.required("DST"));
        if spi < 256 {
            args.error("SPI: the numbers below 256 are reserved");
        }
        Self { spi, source, destination, suite: Suite::new(args), sequence: 0, number: 0, drops: 0 }
    }

    fn encapsulate(&mut self, packet: &mut Packet) -> Option<()> {
        let suite = self.suite.as_ref()?;
        let inside = match packet.data().first()? >> 4 {
            4 => INSIDE_IPV4,
            6 => INSIDE_IPV6,
            _ => return None,
        };
        let sequence = self.sequence.checked_add(1)?;
        let length = packet.len();
        let padding = (length + 2).next_multiple_of(suite.block()) - (length + 2);
        let front = IPV4 + ESP + suite.iv();
        let total = u16::try_from(front + length + padding + 2 + suite.icv()).ok()?;
        packet.put(padding + 2 + suite.icv())?;
        packet.push(front)?;
        let data = packet.data_mut();
        let end = front + length;
        data[end..end + padding].iter_mut().zip(1..).for_each(|(byte, n)| *byte = n);
        data[end + padding..end + padding + 2].copy_from_slice(&[padding as u8, inside]);
        write_ipv4(data, total, sequence as u16, PROTOCOL, self.source.0, self.destination.0);
        let esp = &mut data[IPV4..];
        esp[..4].copy_from_slice(&self.spi.to_be_bytes());
        esp[4..8].copy_from_slice(&sequence.to_be_bytes());
        suite.seal(esp, self.number)?;
        (self.sequence, self.number) = (sequence, self.number.wrapping_add(1));
        packet.set_headers(0, IPV4);
        packet.set_destination(self.destination.0);
        Some(())
    }
}

impl Element for ESPTunnelEncap {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        self.number = cx.host.wall_clock();
        Ok(())
    }

    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        let before = batch.len();
        batch.retain_or_else(|packet| self.encapsulate(packet).is_some(), drop);
        self.drops += (before - batch.len()) as u64;
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(if handler == "count" { u64::from(self.sequence) } else { self.drops }.to_string())
    }

    fn take_over(&mut self, old: &mut dyn Element) {
        if let Some(old) = (old as &mut dyn Any).downcast_mut::<Self>() {
            self.number = self.number.max(old.number);
            if old.spi == self.spi {
                (self.sequence, self.drops) = (old.sequence, old.drops);
            }
        }
    }
}

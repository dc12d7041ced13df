use super::esp::{ESP, Suite};
use super::esp_tunnel_encap::{INSIDE_IPV4, INSIDE_IPV6, PROTOCOL};
use super::replay::Window;
use crate::args::Args;
use crate::element::{Context, Element, read};
use crate::elements::ip::header;
use crate::headers::{IPV6, four};
use crate::packet::{Batch, Packet};
use alloc::string::{String, ToString};
use core::any::Any;

crate::element! {
    /// Decrypts IPv4 packets of ESP (RFC 4303, tunnel mode), and drops those that are not genuine.
    ///
    /// The outer header is found by the IP header annotation; the inner one is marked. Packets of other associations, and
    /// those of other protocols, leave by output 1, or are dropped if it is not there. Fragments have to be put together
    /// before.
    ///
    /// # Arguments
    /// `SPI`: number of the security association. `KEY`, `AUTH_KEY`: as ESPTunnelEncap's. `REPLAY` (true): drop packets
    /// that have come before, and those that are 64 or more behind the latest.
    ///
    /// # Handlers
    /// `count`: packets decrypted. `forged`: those that were not genuine. `replays`: those that had come before, or came
    /// too late.
    ESPTunnelDecap "1/1-2" "a/ah"
    keywords ["SPI", "KEY", "AUTH_KEY", "REPLAY"]
    handlers [read("count"), read("forged"), read("replays")]
    { spi: u32, suite: Option<Suite>, window: Option<Window>, count: u64, forged: u64, replays: u64 }
}

/// What becomes of a packet.
enum Fate {
    Opened,
    Dropped,
    Others,
}

impl ESPTunnelDecap {
    fn new(args: &mut Args<'_>) -> Self {
        let spi = args.required("SPI");
        let suite = Suite::new(args);
        let window = args.key("REPLAY").unwrap_or(true).then(Window::default);
        Self { spi, suite, window, count: 0, forged: 0, replays: 0 }
    }

    fn decapsulate(&mut self, packet: &mut Packet) -> Fate {
        let Some((at, ip)) = header(packet) else { return Fate::Others };
        let (begin, end) = (at + ip.header, at + ip.total);
        let whole = ip.fragment_offset == 0 && !ip.more_fragments && ip.protocol == PROTOCOL;
        let ours = whole && four(packet.data(), begin).map(u32::from_be_bytes) == Some(self.spi);
        let (true, Some(suite)) = (ours, &self.suite) else { return Fate::Others };
        let Some(esp) = packet.data_mut().get_mut(begin..end).filter(|esp| esp.len() > ESP) else {
            self.forged += 1;
            return Fate::Dropped;
        };
        let number = u32::from_be_bytes(four(esp, 4).unwrap_or_default());
        if self.window.as_ref().is_some_and(|window| !window.is_new(number)) {
            self.replays += 1;
            return Fate::Dropped;
        }
        let inside = suite.open(esp).and_then(|place| Some((place.start, inside(&esp[place])?)));
        let Some((start, (length, protocol))) = inside else {
            self.forged += 1;
            return Fate::Dropped;
        };
        if let Some(window) = &mut self.window {
            window.note(number);
        }
        packet.truncate(begin + start + length);
        packet.pull(begin + start);
        let transport = match (protocol, packet.data().first().map(|b| b & 15)) {
            (INSIDE_IPV4, Some(words)) => 4 * usize::from(words),
            _ => IPV6,
        };
        packet.set_headers(0, transport);
        self.count += 1;
        Fate::Opened
    }
}

/// Bytes of the packet in what was decrypted, and its protocol; `None`: the padding is not as it has to be, or it is no IP
/// packet.
fn inside(data: &[u8]) -> Option<(usize, u8)> {
    let (rest, &[padding, protocol]) = data.split_last_chunk()?;
    let (packet, filling) = rest.split_at_checked(rest.len().checked_sub(padding.into())?)?;
    let filled = filling.iter().zip(1..).all(|(&byte, n): (_, u8)| byte == n);
    let fits = match protocol {
        INSIDE_IPV4 => packet.first()? >> 4 == 4,
        INSIDE_IPV6 => packet.first()? >> 4 == 6,
        _ => false,
    };
    (filled && fits).then_some((packet.len(), protocol))
}

impl Element for ESPTunnelDecap {
    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let (mut opened, mut others) = (Batch::new(), Batch::new());
        while let Some(mut packet) = batch.pop() {
            match self.decapsulate(&mut packet) {
                Fate::Opened => opened.push(packet),
                Fate::Others => others.push(packet),
                Fate::Dropped => {}
            }
        }
        *batch = opened;
        cx.output(1, others);
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(match handler {
            "count" => self.count,
            "forged" => self.forged,
            _ => self.replays,
        }
        .to_string())
    }

    fn take_over(&mut self, old: &mut dyn Element) {
        if let Some(old) = (old as &mut dyn Any).downcast_mut::<Self>()
            && old.spi == self.spi
        {
            core::mem::swap(&mut self.window, &mut old.window);
            (self.count, self.forged, self.replays) = (old.count, old.forged, old.replays);
        }
    }
}

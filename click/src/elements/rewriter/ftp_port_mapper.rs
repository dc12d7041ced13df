use super::TCPRewriter;
use super::flow::{FlowId, Kind};
use super::input::Spec;
use crate::args::Args;
use crate::element::{Context, Element};
use crate::elements::ip::header;
use crate::headers::{Ipv4Header, PROTOCOL_TCP, adjust, difference, transport_checksum};
use crate::packet::{Batch, Packet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::any::Any;

crate::element! {
    /// Lets FTP's active mode pass a network address translator.
    ///
    /// Takes the packets of FTP control connections on their way to the rewriter. A client's `PORT` command names the
    /// address and port where it waits for data; that flow is remembered in the rewriter of data connections, and the
    /// command is rewritten to what it has become. If the command's length changes, sequence numbers of the control
    /// connection change in its rewriter. The command must begin its packet and be whole. Data comes from the port
    /// below that of the control connection.
    ///
    /// # Arguments
    /// `CONTROL_REWRITER`: name of a `TCPRewriter`, through which the control connection goes afterwards.
    /// `DATA_REWRITER`: name of a rewriter, through which data connections go; it can be the same. `PATTERN`:
    /// `SADDR SPORT DADDR DPORT FOUTPUT ROUTPUT` or `NAME FOUTPUT ROUTPUT`, as in `IPRewriter`.
    FTPPortMapper "1/1" "a/a"
    keywords ["CONTROL_REWRITER", "DATA_REWRITER", "PATTERN"]
    { names: [String; 2], control: usize, data: usize, spec: Spec }
}

impl FTPPortMapper {
    fn new(args: &mut Args<'_>) -> Self {
        let names = [args.required("CONTROL_REWRITER"), args.required("DATA_REWRITER")];
        let pattern: String = args.required("PATTERN");
        let words: Vec<&str> = pattern.split_whitespace().collect();
        let spec = Spec::pattern(&words, args.names, usize::MAX).unwrap_or_else(|message| {
            args.error(message);
            Spec::Drop
        });
        Self { names, control: 0, data: 0, spec }
    }

    fn translate(&mut self, cx: &mut Context<'_>, packet: &mut Packet) {
        let Some((at, h)) = header(packet) else { return };
        if h.protocol != PROTOCOL_TCP || h.fragment_offset != 0 || h.more_fragments {
            return;
        }
        let Some(tcp) = packet.data().get(at + h.header..at + h.total).filter(|t| t.len() >= 20) else {
            return;
        };
        let Some(payload) = tcp.get(usize::from(tcp[12] >> 4) * 4..).filter(|p| p.len() + 20 <= tcp.len())
        else {
            return;
        };
        let Some((address, port, length)) = command(payload) else { return };
        let number = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
        let control = FlowId::new((h.source, number(0)), (h.destination, number(2)), PROTOCOL_TCP);
        let sequence = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]);
        let data = FlowId::new((address, port), (h.destination, number(2).wrapping_sub(1)), PROTOCOL_TCP);
        let next = sequence.wrapping_add(payload.len() as u32);
        let place = at + h.total - payload.len();

        let chance = (cx.random(), cx.now());
        let known = super::rewriter(cx, self.data).and_then(|r| r.flow_for(data, &mut self.spec, chance));
        let Some((address, port)) = known.map(FlowId::source) else { return };
        let [a, b, c, d] = address;
        let text = format!("PORT {a},{b},{c},{d},{},{}", port >> 8, port & 255);
        let by = text.len() as i32 - length as i32;
        if replace(packet, place, length, text.as_bytes()).is_none() {
            return;
        }
        repair(packet, at, &h, by);
        if by != 0
            && let Some(rewriter) =
                cx.peer(self.control).and_then(|e| (e as &mut dyn Any).downcast_mut::<TCPRewriter>())
        {
            rewriter.change_length(control, next, by);
        }
    }
}

/// Address, port and length of a `PORT` command at the start of a payload (RFC 959, section 4.1.2).
fn command(payload: &[u8]) -> Option<([u8; 4], u16, usize)> {
    let word = payload.get(..5).filter(|w| w.eq_ignore_ascii_case(b"PORT "))?;
    let rest = payload.get(word.len()..)?;
    let length = rest.iter().take(30).position(|&b| b == b'\r' || b == b'\n')?;
    let text = core::str::from_utf8(&rest[..length]).ok()?;
    let mut numbers = [0; 6];
    let mut parts = text.trim().split(',');
    for number in &mut numbers {
        *number = parts.next()?.trim().parse::<u8>().ok()?;
    }
    let [a, b, c, d, high, low] = numbers;
    parts.next().is_none().then_some(([a, b, c, d], u16::from_be_bytes([high, low]), word.len() + length))
}

/// Puts a text in the place of `length` bytes.
fn replace(packet: &mut Packet, at: usize, length: usize, text: &[u8]) -> Option<()> {
    let end = packet.len();
    if text.len() > length {
        packet.put(text.len() - length)?;
    }
    packet.data_mut().copy_within(at + length..end, at + text.len());
    packet.data_mut()[at..at + text.len()].copy_from_slice(text);
    packet.truncate(end - length + text.len());
    Some(())
}

/// Writes length and checksums of a packet whose payload grew by so much.
fn repair(packet: &mut Packet, at: usize, h: &Ipv4Header, by: i32) {
    let data = &mut packet.data_mut()[at..];
    let total = (h.total as i32 + by) as u16;
    let sum = adjust([data[10], data[11]], difference(&data[2..4], &total.to_be_bytes()));
    (data[10], data[11]) = (sum[0], sum[1]);
    data[2..4].copy_from_slice(&total.to_be_bytes());
    let Some(tcp) = data.get_mut(h.header..usize::from(total)) else { return };
    tcp[16..18].fill(0);
    let sum = transport_checksum(h.source, h.destination, PROTOCOL_TCP, tcp);
    tcp[16..18].copy_from_slice(&sum);
}

impl Element for FTPPortMapper {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        let [control, data] = &self.names;
        let is_tcp = |cx: &mut Context<'_>, id| super::rewriter(cx, id).is_some_and(|r| r.kind == Kind::Tcp);
        let found = cx.find(control).filter(|&id| is_tcp(cx, id));
        self.control = found.ok_or_else(|| format!("CONTROL_REWRITER: '{control}' is not a TCPRewriter"))?;
        let found = cx.find(data).filter(|&id| super::rewriter(cx, id).is_some());
        self.data = found.ok_or_else(|| format!("DATA_REWRITER: '{data}' is not a rewriter"))?;
        self.spec.resolve(cx)?;
        let outputs = cx.outputs_of(self.data);
        if self.spec.fits(outputs) { Ok(()) } else { Err("PATTERN: output port out of range".to_string()) }
    }

    fn act(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        batch.each(|packet| self.translate(cx, packet));
    }
}

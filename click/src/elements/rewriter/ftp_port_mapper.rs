use super::flow::{FlowId, Kind};
use super::input::Spec;
use super::translation::{Origin, flow_for};
use crate::args::{Args, parse_number};
use crate::element::{Context, Element};
use crate::elements::ip::header;
use crate::headers::{Ipv4Header, PROTOCOL_TCP, adjust, difference, transport_checksum};
use crate::packet::{Batch, Packet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

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
    /// `CONTROL_REWRITER`: name of a `TCPRewriter` or `IPRewriter`, through which the control connection goes
    /// afterwards. `DATA_REWRITER`: name of a rewriter, through which data connections go; it can be the same.
    /// `DATA_REWRITER_INPUT`: its input whose specification data connections get, which must be a pattern or `keep`. Or,
    /// as older files have it, the pattern itself: `SADDR SPORT DADDR DPORT FOUTPUT ROUTPUT` or `NAME FOUTPUT ROUTPUT`.
    FTPPortMapper "1/1" "a/a"
    keywords ["CONTROL_REWRITER", "DATA_REWRITER", "DATA_REWRITER_INPUT"]
    { names: [String; 2], control: usize, data: usize, origin: Origin }
}

impl FTPPortMapper {
    fn new(args: &mut Args<'_>) -> Self {
        let names = [args.required("CONTROL_REWRITER"), args.required("DATA_REWRITER")];
        let origin: String = args.required("DATA_REWRITER_INPUT");
        let words: Vec<&str> = origin.split_whitespace().collect();
        let origin = match words[..] {
            [number] => {
                parse_number(number).map(|n| Origin::Input(n as usize)).ok_or("bad input port".into())
            }
            _ => Spec::pattern(&words, args.names, usize::MAX).map(Origin::Spec),
        };
        let origin = origin.unwrap_or_else(|message| {
            args.error(format!("DATA_REWRITER_INPUT: {message}"));
            Origin::Spec(Spec::Drop)
        });
        Self { names, control: 0, data: 0, origin }
    }

    /// Translates the command in a packet. `before`: flows of packets in front, which the rewriter is yet to see.
    fn translate(&mut self, cx: &mut Context<'_>, packet: &mut Packet, before: &mut Vec<FlowId>) {
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
        let number = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
        let control = FlowId::new((h.source, number(0)), (h.destination, number(2)), PROTOCOL_TCP);
        let Some((address, port, length)) = command(payload) else {
            if !before.contains(&control) {
                before.push(control);
            }
            return;
        };
        let reply_anno = super::rewriter(cx, self.control).and_then(|r| r.reply_anno(control));
        if reply_anno.is_none() && !before.contains(&control) {
            // Sequence numbers of a connection that goes another way would not follow.
            return;
        }
        let sequence = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]);
        let data = FlowId::new((address, port), (h.destination, number(2).wrapping_sub(1)), PROTOCOL_TCP);
        let next = sequence.wrapping_add(payload.len() as u32);
        let place = at + h.total - payload.len();

        let known = flow_for(cx, self.data, data, &mut self.origin, reply_anno.unwrap_or(0));
        let Some((address, port)) = known.map(FlowId::source) else { return };
        let [a, b, c, d] = address;
        let text = format!("PORT {a},{b},{c},{d},{},{}", port >> 8, port & 255);
        let by = text.len() as i32 - length as i32;
        if replace(packet, place, length, text.as_bytes()).is_none() {
            return;
        }
        repair(packet, at, &h, by);
        let now = cx.now();
        if by != 0
            && let Some(rewriter) = super::rewriter(cx, self.control)
        {
            rewriter.change_length((control, now), next, by);
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
        let is_tcp = |cx: &mut Context<'_>, id| {
            super::rewriter(cx, id).is_some_and(|r| matches!(r.kind, Kind::Tcp | Kind::Ip))
        };
        let found = cx.find(control).filter(|&id| is_tcp(cx, id));
        self.control = found.ok_or_else(|| format!("CONTROL_REWRITER: '{control}' is not a TCPRewriter"))?;
        let found = cx.find(data).filter(|&id| super::rewriter(cx, id).is_some());
        self.data = found.ok_or_else(|| format!("DATA_REWRITER: '{data}' is not a rewriter"))?;
        let outputs = cx.outputs_of(self.data);
        let fits = match &mut self.origin {
            Origin::Spec(spec) => {
                spec.resolve(cx)?;
                spec.fits(outputs)
            }
            Origin::Input(input) => super::rewriter(cx, self.data).is_some_and(|r| *input < r.inputs()),
        };
        if fits { Ok(()) } else { Err("DATA_REWRITER_INPUT out of range".into()) }
    }

    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let mut before = Vec::new();
        batch.each(|packet| self.translate(cx, packet, &mut before));
    }
}

use super::echo::Encapsulation;
use crate::args::{Args, Data, Time, seconds};
use crate::element::{Context, Element, Nanos, read, read_write, write};
use crate::elements::ip::header;
use crate::handlers::parse;
use crate::headers::PROTOCOL_ICMP;
use crate::packet::{Batch, Packet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Pings whose answers are still waited for.
const WAITING: usize = 1024;

crate::element! {
    /// Sends pings at intervals, and says how they are answered.
    ///
    /// Makes IP packets; answers, IP packets with the IP header annotation, come in by input 0 if it is there.
    ///
    /// # Arguments
    /// `SRC`, `DST`: addresses. `INTERVAL` (1 s): time between pings. `IDENTIFIER` (0). `LIMIT` (-1): pings in all;
    /// negative: no limit. `DATA`: their payload. `ACTIVE` (true). `VERBOSE` (true): print each answer. `STOP` (false):
    /// stop the router after the last ping.
    ///
    /// # Handlers
    /// `src`, `dst`, `interval`, `limit`, `active`: the arguments. `count`: pings so far. `received`: answers. `rtt_min`,
    /// `rtt_avg`, `rtt_max`: time until they came, in seconds. `summary`: these together. `reset_counts`: starts again.
    ICMPPingSource "0-1/1" "h/h"
    keywords ["SRC", "DST", "INTERVAL", "IDENTIFIER", "LIMIT", "DATA", "ACTIVE", "VERBOSE", "STOP"]
    handlers [
        read_write("src"), read_write("dst"), read_write("interval"), read_write("limit"), read_write("active"),
        read("count"), read("received"), read("rtt_min"), read("rtt_avg"), read("rtt_max"), read("summary"),
        write("reset_counts"),
    ]
    {
        encapsulation: Encapsulation,
        interval: Nanos,
        limit: i64,
        data: Vec<u8>,
        active: bool,
        verbose: bool,
        stop: bool,
        count: u64,
        /// By sequence number modulo [`WAITING`]: the number and when it was sent; `None`: answered.
        sent: Vec<Option<(u16, Nanos)>>,
        times: Times,
    }
}

#[derive(Default)]
struct Times {
    received: u64,
    least: Nanos,
    most: Nanos,
    sum: Nanos,
}

impl ICMPPingSource {
    fn new(args: &mut Args<'_>) -> Self {
        let ends = (args.required("SRC"), args.required("DST"));
        let interval = args.next("INTERVAL").unwrap_or(Time(1_000_000_000)).0;
        if interval == 0 {
            args.warn("INTERVAL so small that it is zero");
        }
        let interval = interval.max(1);
        let identifier = args.next("IDENTIFIER").unwrap_or(0);
        let data = args.key::<Data>("DATA").unwrap_or_default().0;
        if data.len() > crate::packet::LARGEST {
            args.error("DATA: packet too long");
        }
        Self {
            encapsulation: Encapsulation::of_pings(ends, identifier),
            interval,
            limit: args.key("LIMIT").unwrap_or(-1),
            data,
            active: args.key("ACTIVE").unwrap_or(true),
            verbose: args.key("VERBOSE").unwrap_or(true),
            stop: args.key("STOP").unwrap_or(false),
            count: 0,
            sent: alloc::vec![None; WAITING],
            times: Times::default(),
        }
    }

    fn left(&self) -> bool {
        self.active && u64::try_from(self.limit).map_or(true, |limit| self.count < limit)
    }

    fn answer(&mut self, cx: &mut Context<'_>, packet: &Packet) {
        let Some((at, h)) = header(packet).filter(|(_, h)| h.protocol == PROTOCOL_ICMP) else { return };
        let icmp = packet.data().get(at + h.header..).unwrap_or(&[]);
        if !self.encapsulation.is_answered_by(h.source, icmp) {
            return;
        }
        let number = u16::from_be_bytes([icmp[6], icmp[7]]);
        let Some((_, since)) = self.sent[usize::from(number) % WAITING].take_if(|s| s.0 == number) else {
            return;
        };
        let time = cx.now().saturating_sub(since);
        let times = &mut self.times;
        times.least = if times.received == 0 { time } else { times.least.min(time) };
        times.most = times.most.max(time);
        times.sum = times.sum.saturating_add(time);
        times.received += 1;
        if self.verbose {
            let from = crate::args::Ipv4(h.source);
            cx.print(&format!(
                "{}: {} bytes from {from}: icmp_seq={number} time={}",
                cx.name(),
                icmp.len(),
                seconds(time)
            ));
        }
    }
}

impl Element for ICMPPingSource {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        cx.wake_at(cx.now().saturating_add(self.interval));
        Ok(())
    }

    fn timer(&mut self, cx: &mut Context<'_>) {
        if !self.left() {
            return;
        }
        let number = self.encapsulation.sequence;
        if let Some(mut packet) = Packet::from_bytes(&self.data)
            && self.encapsulation.put(&mut packet)
        {
            self.sent[usize::from(number) % WAITING] = Some((number, cx.now()));
            packet.set_timestamp(cx.host.wall_clock());
            cx.output_one(0, packet);
        }
        self.count += 1;
        if self.left() {
            cx.wake_at(cx.now().saturating_add(self.interval));
        } else if self.stop {
            cx.stop();
        }
    }

    fn push(&mut self, cx: &mut Context<'_>, _: usize, batch: Batch) {
        batch.iter().for_each(|packet| self.answer(cx, packet));
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        let times = &self.times;
        let average = seconds(times.sum.checked_div(times.received).unwrap_or(0));
        Ok(match handler {
            "interval" => seconds(self.interval),
            "limit" => self.limit.to_string(),
            "active" => self.active.to_string(),
            "count" => self.count.to_string(),
            "received" => times.received.to_string(),
            "rtt_min" => seconds(times.least),
            "rtt_max" => seconds(times.most),
            "rtt_avg" => average,
            "summary" => {
                let (least, most) = (seconds(times.least), seconds(times.most));
                format!(
                    "{} sent, {} received, rtt min/avg/max {least}/{average}/{most} s",
                    self.count, times.received
                )
            }
            _ => self.encapsulation.read(handler),
        })
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        match handler {
            "interval" => self.interval = parse::<Time>(cx, value)?.0.max(1),
            "limit" => self.limit = parse(cx, value)?,
            "active" => self.active = parse(cx, value)?,
            "reset_counts" => (self.count, self.times) = (0, Times::default()),
            _ => return self.encapsulation.write(cx, handler, value),
        }
        cx.wake_by(cx.now().saturating_add(self.interval));
        Ok(())
    }
}

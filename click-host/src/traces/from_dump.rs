use super::capture::{Capture, Record, link_name, network};
use super::playback::{Playback, Verdict};
use click::Packet;
use click::args::{Args, Time};
use click::element::{Context, Element, read, read_write, write};
use click::elements::content::EXTRA_LENGTH;
use click::handlers::parse;
use click::packet::{BURST, Batch};
use std::any::Any;

click::element! {
    /// Reads packets from a file that tcpdump has written, and pushes them, or gives them when pulled.
    ///
    /// Files of pcap, in either byte order and with microseconds or nanoseconds, and of pcapng are read, also when
    /// compressed by gzip, bzip2 or xz; `-` is standard input. Packets get the times of the file, and those that were
    /// cut get an extra length annotation.
    ///
    /// # Arguments
    /// `FILENAME`. `STOP` (false): the router stops at the end. `END_CALL`: a handler that is written at the end.
    /// `TIMING` (false): packets go out at the pace of their times. `SAMPLE` (1): how likely a packet is taken.
    /// `FORCE_IP` (false): headers of IP packets are marked, and others go to output 1. `START`, `END`: times of the
    /// file between which packets are taken; `START_AFTER`, `END_AFTER`: the same, from the first packet on;
    /// `INTERVAL`: how much time of the file is taken. `ACTIVE` (true): when false, nothing is read. `BURST` (32):
    /// packets at once. `MMAP`, `FILEPOS`, `HEADROOM`, `PER_NODE` are accepted.
    ///
    /// # Handlers
    /// `count`: packets so far. `reset_counts`: sets the count to 0. `active`: the argument. `stop`: stops reading and
    /// asks the router to stop. `encap`: the link layer. `filename`: the argument. `sampling_prob`: the argument
    /// `SAMPLE`. `extend_interval`: reads for this much more time. `reset_timing`: the pace begins anew with the next packet.
    FromDump "0/1-2" "/ah"
    keywords [
        "FILENAME", "STOP", "END_CALL", "TIMING", "SAMPLE", "FORCE_IP", "START", "END", "START_AFTER", "END_AFTER",
        "INTERVAL", "ACTIVE", "BURST", "MMAP", "FILEPOS", "HEADROOM", "PER_NODE",
    ]
    handlers [
        read("count"), read("encap"), read("filename"), read("sampling_prob"), read_write("active"), write("stop"),
        write("reset_counts"), write("extend_interval"), write("reset_timing"),
    ]
    {
        name: String,
        playback: Playback,
        force_ip: bool,
        burst: usize,
        capture: Option<Capture>,
        next: Option<Record>,
        pushes: bool,
        count: u64,
    }
}

impl FromDump {
    fn new(args: &mut Args<'_>) -> Self {
        let name = args.required::<String>("FILENAME");
        args.positional_as("TIMING");
        for name in ["MMAP", "FILEPOS", "HEADROOM", "PER_NODE"] {
            args.ignored(name);
        }
        let force_ip = args.key("FORCE_IP").unwrap_or(false);
        let burst = args.key::<usize>("BURST").unwrap_or(BURST).max(1);
        let playback = Playback::new(args);
        Self { name, playback, force_ip, burst, capture: None, next: None, pushes: false, count: 0 }
    }

    /// Packets that are due, at most `most`, those that go out as others included.
    fn take(&mut self, cx: &mut Context<'_>, most: usize) -> Batch {
        let most = cx.at_once(most);
        let (mut batch, mut left) = (Batch::new(), most);
        if self.playback.takes_all
            && self.playback.active
            && !self.force_ip
            && self.next.is_none()
            && let Some(capture) = &mut self.capture
        {
            batch = capture.buffered(most, note);
            self.count += batch.len() as u64;
            left -= batch.len();
        }
        while left > 0 && self.playback.active && !self.playback.ended {
            if self.next.is_none() {
                self.next = match self.capture.as_mut().and_then(Capture::next) {
                    Some(Ok(record)) => Some(record),
                    Some(Err(message)) => {
                        cx.print(&format!("{}: {}: {message}", cx.name(), self.name));
                        None
                    }
                    None => None,
                };
            }
            let Some(record) = self.next.take() else {
                // What goes out now is dealt with before the end.
                if left == most {
                    self.playback.end(cx);
                }
                break;
            };
            match self.playback.judge(cx, record.time) {
                Verdict::Now => {
                    self.count += 1;
                    left -= 1;
                    self.packet(cx, record).into_iter().for_each(|packet| batch.push(packet));
                }
                Verdict::Later(time) => {
                    self.next = Some(record);
                    cx.wake_at(time);
                    break;
                }
                Verdict::Skip => {}
                Verdict::Over => {
                    self.next = Some(record);
                    if left < most {
                        break;
                    }
                    self.playback.end(cx);
                }
            }
        }
        batch
    }

    /// The packet of a record; none if it went out as one without IP.
    fn packet(&self, cx: &mut Context<'_>, record: Record) -> Option<Packet> {
        let mut packet = record.packet?;
        note(&mut packet, record.time, record.wire);
        let kept = packet.len();
        if !self.force_ip {
            return Some(packet);
        }
        let header = network(record.link, packet.data()).filter(|n| n.1 == 0x0800 || n.1 == 0x86dd);
        if header.is_some_and(|(at, _)| packet.pull(at) && crate::devices::mark_ip(&mut packet)) {
            let (at, _) = header.unwrap_or_default();
            // The bytes are those that were just taken off.
            packet.push(at)?;
            return Some(packet);
        }
        // What was taken off is put back.
        let taken = kept - packet.len();
        packet.push(taken)?;
        cx.output_one(1, packet);
        None
    }
}

/// What a record says of its packet: its time, and its bytes on the wire.
#[inline]
fn note(packet: &mut Packet, time: u64, wire: usize) {
    packet.set_timestamp(time);
    packet.set_mac();
    let kept = packet.len();
    EXTRA_LENGTH.set(packet, wire.saturating_sub(kept) as u32);
}

impl Element for FromDump {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        self.capture = Some(Capture::open(&self.name)?);
        self.pushes = cx.pushes(0);
        if self.pushes {
            cx.schedule();
        }
        Ok(())
    }

    fn run_task(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.pushes {
            cx.notify();
            return false;
        }
        let before = self.count;
        let batch = self.take(cx, self.burst);
        cx.output(0, batch);
        self.count > before
    }

    fn owns_pull(&self) -> bool {
        true
    }

    fn notifies(&self) -> bool {
        true
    }

    fn pull(&mut self, cx: &mut Context<'_>, _: usize, most: usize) -> Batch {
        self.take(cx, most)
    }

    fn take_over(&mut self, old: &mut dyn Element) {
        let Some(old) = (old as &mut dyn Any).downcast_mut::<FromDump>() else { return };
        // The same file goes on where it was.
        if old.name == self.name {
            std::mem::swap(&mut self.playback, &mut old.playback);
            (self.capture, self.next, self.count) = (old.capture.take(), old.next.take(), old.count);
        }
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(match handler {
            "count" => self.count.to_string(),
            "encap" => self.capture.as_ref().and_then(Capture::link).map(link_name).unwrap_or_default(),
            "filename" => self.name.clone(),
            "sampling_prob" => self.playback.sample(),
            _ => self.playback.active.to_string(),
        })
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        match handler {
            "active" => self.playback.active = parse(cx, value)?,
            "stop" => {
                self.playback.active = false;
                cx.stop();
            }
            "extend_interval" => self.playback.extend(parse::<Time>(cx, value)?.0),
            "reset_timing" => self.playback.reset_timing(),
            _ => self.count = 0,
        }
        cx.schedule();
        Ok(())
    }
}

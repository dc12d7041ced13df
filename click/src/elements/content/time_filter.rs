use super::Runs;
use crate::args::{Args, Time, seconds, stamp};
use crate::element::{Context, Element, Nanos, read_write, write};
use crate::handlers::parse;
use crate::packet::{Batch, Packet};
use alloc::string::{String, ToString};

crate::element! {
    /// Passes packets by their timestamps.
    ///
    /// Others leave by output 1, or are dropped if it is not there.
    ///
    /// # Arguments
    /// `START`: packets from then on, in seconds since 1970; `START_DELAY`, `START_AFTER` (0): from so long after the
    /// router's start, or after the first packet. `END`, `END_DELAY`, `END_AFTER`, `INTERVAL`: packets before then,
    /// before so long after the router's start, after the first packet, or after the start of what passes. `STOP`
    /// (false): stop the router with the first packet after the end. `END_CALL`: a handler to write then, in which `$t`
    /// is that packet's time; the packet passes if that moved the end behind it.
    ///
    /// # Handlers
    /// `start`, `end`: times. `interval`: between them; writing it moves the end. `extend_interval`: adds to it.
    TimeFilter "1/1-2" "a/ah"
    keywords [
        "START", "END", "START_DELAY", "END_DELAY", "START_AFTER", "END_AFTER", "INTERVAL", "STOP", "END_CALL",
    ]
    handlers [read_write("start"), read_write("end"), read_write("interval"), write("extend_interval")]
    {
        start: Option<Nanos>,
        end: Option<Nanos>,
        /// Of start and end: after the router's start, and after the first packet.
        delays: [Option<Nanos>; 2],
        after: [Option<Nanos>; 2],
        interval: Option<Nanos>,
        stop: bool,
        call: Option<String>,
        known: bool,
        over: bool,
    }
}

/// Where a packet's time lies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Before,
    Inside,
    After,
}

impl TimeFilter {
    fn new(args: &mut Args<'_>) -> Self {
        let mut next = |name: &str| args.next::<Time>(name).map(|t| t.0);
        let (start, end) = (next("START"), next("END"));
        let mut time = |name: &str| args.key::<Time>(name).map(|t| t.0);
        let delays = [time("START_DELAY"), time("END_DELAY")];
        let after = [time("START_AFTER"), time("END_AFTER")];
        let interval = time("INTERVAL");
        if [start, delays[0], after[0]].iter().flatten().count() > 1 {
            args.error("START, START_DELAY and START_AFTER exclude each other");
        }
        if [end, delays[1], after[1], interval].iter().flatten().count() > 1 {
            args.error("END, END_DELAY, END_AFTER and INTERVAL exclude each other");
        }
        let (stop, call) = (args.key("STOP").unwrap_or(false), args.key("END_CALL"));
        Self { start, end, delays, after, interval, stop, call, known: false, over: false }
    }

    /// With the first packet's time, all times are known.
    fn begin(&mut self, first: Nanos) {
        self.known = true;
        let after = |delay: Nanos| first.saturating_add(delay);
        let start = self.start.unwrap_or_else(|| after(self.after[0].unwrap_or(0)));
        self.start = Some(start);
        let interval = self.interval.map(|i| start.saturating_add(i));
        self.end = self.end.or(self.after[1].map(after)).or(interval);
    }

    fn place(&mut self, packet: &Packet) -> Place {
        let time = packet.timestamp();
        if !self.known {
            self.begin(time);
        }
        let before = |limit: Nanos| (time as i64) < i64::try_from(limit).unwrap_or(i64::MAX);
        match (self.start, self.end) {
            (Some(start), _) if before(start) => Place::Before,
            (_, Some(end)) if !before(end) => Place::After,
            _ => Place::Inside,
        }
    }

    /// The first packet after the end is there; whether a handler is written that may move the end.
    #[cold]
    fn ended(&mut self, cx: &mut Context<'_>, time: Nanos) -> bool {
        if core::mem::replace(&mut self.over, true) {
            return false;
        }
        if self.stop {
            cx.stop();
        }
        if let Some(call) = &self.call {
            cx.call(&with_time(call, &stamp(time)));
        }
        self.call.is_some()
    }
}

/// A text with a time for `$t`.
fn with_time(text: &str, time: &str) -> String {
    let mut parts = text.split('$');
    let mut out = parts.next().unwrap_or("").to_string();
    for part in parts {
        let ends = |rest: &&str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        match part.strip_prefix("{t}").or_else(|| part.strip_prefix('t').filter(ends)) {
            Some(rest) => out.extend([time, rest]),
            None => out.extend(["$", part]),
        }
    }
    out
}

impl Element for TimeFilter {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        let now = cx.host.wall_clock();
        let [start, end] = self.delays.map(|delay| delay.map(|d| now.saturating_add(d)));
        (self.start, self.end) = (self.start.or(start), self.end.or(end));
        if self.call.is_some() {
            cx.move_packets_one_by_one(true);
        }
        Ok(())
    }

    fn push(&mut self, cx: &mut Context<'_>, _: usize, mut batch: Batch) {
        let mut runs = Runs::new();
        while let Some(packet) = batch.pop() {
            let place = self.place(&packet);
            if place == Place::After && self.ended(cx, packet.timestamp()) {
                let mut rest = Batch::one(packet);
                rest.append(batch);
                runs.finish(cx);
                return cx.push_again(0, rest);
            }
            runs.add(cx, usize::from(place != Place::Inside), packet);
        }
        runs.finish(cx);
    }

    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let others = batch.partition(|packet| {
            let place = self.place(packet);
            if place == Place::After {
                self.ended(cx, packet.timestamp());
            }
            place == Place::Inside
        });
        cx.output(1, others);
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        let text = |time: Option<Nanos>| time.map_or("-".to_string(), seconds);
        Ok(match handler {
            "start" => text(self.start),
            "end" => text(self.end),
            _ => {
                text(self.end.zip(self.start).map(|(end, start)| end.saturating_sub(start)).or(self.interval))
            }
        })
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        let time = parse::<Time>(cx, value)?.0;
        let before = self.end;
        match handler {
            "start" => {
                if !self.known {
                    self.begin(time);
                }
                self.start = Some(time);
            }
            "end" => (self.end, self.interval) = (Some(time), None),
            "interval" => {
                self.interval = Some(time);
                if self.known {
                    self.end = Some(self.start.unwrap_or(0).saturating_add(time));
                }
            }
            _ => {
                self.interval = self.interval.map(|i| i.saturating_add(time));
                self.end = self.end.map(|e| e.saturating_add(time));
            }
        }
        // A call that does not move the end on need not be made again.
        self.over &= self.end <= before;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_stands_for_its_variable() {
        assert_eq!(with_time("s.run $t ${t}$t $tt $ $1", "5.0"), "s.run 5.0 5.05.0 $tt $ $1");
    }
}

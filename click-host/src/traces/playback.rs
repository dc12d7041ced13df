//! When the packets of a trace go out, and which of them: what all elements that read traces share.

use click::args::{Args, Time};
use click::element::{Context, Nanos};

/// What happens at the end of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing.
    Nothing,
    /// The router is asked to stop.
    Stop,
    /// A handler is written.
    Call(String),
}

/// Times of a trace from which and to which packets are taken, and at what pace.
pub struct Playback {
    /// Packets go out at the pace of their times.
    timing: bool,
    sample: u64,
    start: Option<Nanos>,
    start_after: Option<Nanos>,
    end: Option<Nanos>,
    end_after: Option<Nanos>,
    interval: Option<Nanos>,
    /// What happens then.
    pub end_action: End,
    /// Packets are taken at all.
    pub active: bool,
    /// Time of the first packet.
    first: Option<Nanos>,
    /// Time in the trace and on the clock when playing began.
    base: Option<(Nanos, Nanos)>,
    /// The trace has come to its end.
    pub ended: bool,
    /// No argument says which packets go out, or when.
    pub takes_all: bool,
}

/// What to do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes out.
    Now,
    /// It goes out at this time.
    Later(Nanos),
    /// It does not.
    Skip,
    /// Neither do those behind it.
    Over,
}

impl Playback {
    /// Takes the arguments.
    pub fn new(args: &mut Args<'_>) -> Self {
        let time = |args: &mut Args<'_>, name| args.key::<Time>(name).map(|t| t.0);
        let stop = args.key("STOP").unwrap_or(false);
        let call = args.key::<String>("END_CALL");
        if call.is_some() && stop {
            args.error("END_CALL: cannot be given with STOP");
        }
        let end_action = match call {
            Some(call) => End::Call(call),
            None if stop => End::Stop,
            None => End::Nothing,
        };
        let mut new = Self {
            timing: args.key("TIMING").unwrap_or(false),
            sample: args.key::<click::args::Probability>("SAMPLE").map_or(1 << 32, |p| p.0),
            start: time(args, "START"),
            start_after: time(args, "START_AFTER"),
            end: time(args, "END"),
            end_after: time(args, "END_AFTER"),
            interval: time(args, "INTERVAL"),
            end_action,
            active: args.key("ACTIVE").unwrap_or(true),
            first: None,
            base: None,
            ended: false,
            takes_all: false,
        };
        let times = [new.start, new.start_after, new.end, new.end_after, new.interval];
        new.takes_all = !new.timing && new.sample >= 1 << 32 && times.iter().all(Option::is_none);
        new
    }

    /// What to do with a packet of this time.
    #[inline]
    pub fn judge(&mut self, cx: &mut Context<'_>, time: Nanos) -> Verdict {
        if self.takes_all { Verdict::Now } else { self.consider(cx, time) }
    }

    fn consider(&mut self, cx: &mut Context<'_>, time: Nanos) -> Verdict {
        let first = *self.first.get_or_insert(time);
        let start = self.start.or(self.start_after.map(|after| first.saturating_add(after)));
        if start.is_some_and(|start| time < start) {
            return Verdict::Skip;
        }
        let begin = start.unwrap_or(first);
        let after = self.end_after.map(|after| first.saturating_add(after));
        let end = self.end.or(after).or(self.interval.map(|i| begin.saturating_add(i)));
        if end.is_some_and(|end| time >= end) {
            return Verdict::Over;
        }
        if self.sample < 1 << 32 && (cx.random() >> 32) >= self.sample {
            return Verdict::Skip;
        }
        if self.timing {
            let now = cx.exact_now();
            let (trace, clock) = *self.base.get_or_insert((time, now));
            let due = clock.saturating_add(time.saturating_sub(trace));
            if due > now {
                return Verdict::Later(due);
            }
        }
        Verdict::Now
    }

    /// Begins with the pace anew.
    pub fn reset_timing(&mut self) {
        self.base = None;
    }

    /// Lets the trace go on for this much time beyond its end.
    pub fn extend(&mut self, by: Nanos) {
        match (&mut self.end, &mut self.end_after, &mut self.interval) {
            (Some(end), _, _) | (None, Some(end), _) | (None, None, Some(end)) => {
                *end = end.saturating_add(by)
            }
            _ => {}
        }
        self.ended = false;
    }

    /// How likely a packet is taken.
    pub fn sample(&self) -> String {
        (self.sample as f64 / (1u64 << 32) as f64).to_string()
    }

    /// The trace has ended.
    pub fn end(&mut self, cx: &mut Context<'_>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        match &self.end_action {
            End::Nothing => {}
            End::Stop => cx.stop(),
            End::Call(call) => {
                let (handler, value) = call.split_once(char::is_whitespace).unwrap_or((call, ""));
                if let Err(e) = cx.write_handler(handler, value) {
                    cx.print(&format!("{}: {e}", cx.name()));
                }
            }
        }
    }
}

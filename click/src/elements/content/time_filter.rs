use crate::args::{Args, Time, seconds};
use crate::element::{Context, Element, Nanos, read, read_write};
use crate::handlers::parse;
use crate::packet::Batch;
use alloc::string::{String, ToString};

crate::element! {
    /// Passes packets by their timestamps.
    ///
    /// Others leave by output 1, or are dropped if it is not there.
    ///
    /// # Arguments
    /// `START`: packets from then on, in seconds since 1970; `START_DELAY`: from so long after the first packet. `END`,
    /// `END_DELAY`, `INTERVAL`: packets before then, before so long after the first packet, or after the start.
    /// `STOP` (false): stop the router with the first packet after the end. `END_CALL`: a handler to write then.
    ///
    /// # Handlers
    /// `start`, `end`: times, once known. `interval`: between them; writing it moves the end. `extend_interval`: adds to it.
    TimeFilter "1/1-2" "a/ah"
    keywords ["START", "END", "START_DELAY", "END_DELAY", "INTERVAL", "STOP", "END_CALL"]
    handlers [read("start"), read("end"), read_write("interval"), read_write("extend_interval")]
    {
        start: Option<Nanos>,
        end: Option<Nanos>,
        delays: [Option<Nanos>; 2],
        interval: Option<Nanos>,
        stop: bool,
        call: Option<String>,
        known: bool,
        over: bool,
    }
}

impl TimeFilter {
    fn new(args: &mut Args<'_>) -> Self {
        let mut time = |name: &str| args.key::<Time>(name).map(|t| t.0);
        let (start, end) = (time("START"), time("END"));
        let delays = [time("START_DELAY"), time("END_DELAY")];
        let interval = time("INTERVAL");
        if start.is_some() && delays[0].is_some() {
            args.error("START and START_DELAY exclude each other");
        }
        if [end, delays[1], interval].iter().flatten().count() > 1 {
            args.error("END, END_DELAY and INTERVAL exclude each other");
        }
        let stop = args.key("STOP").unwrap_or(false);
        Self { start, end, delays, interval, stop, call: args.key("END_CALL"), known: false, over: false }
    }

    /// With the first packet's time, all times are known.
    fn begin(&mut self, first: Nanos) {
        self.known = true;
        let after = |delay: Nanos| first.saturating_add(delay);
        self.start = self.start.or(self.delays[0].map(after));
        let interval = self.interval.map(|i| self.start.unwrap_or(first).saturating_add(i));
        self.end = self.end.or(self.delays[1].map(after)).or(interval);
    }

    #[cold]
    fn ended(&mut self, cx: &mut Context<'_>) {
        if core::mem::replace(&mut self.over, true) {
            return;
        }
        if let Some(call) = &self.call {
            let (handler, value) = call.split_once(char::is_whitespace).unwrap_or((call, ""));
            if let Err(e) = cx.write_handler(handler, value) {
                cx.print(&alloc::format!("{}: END_CALL: {e}", cx.name()));
            }
        }
        if self.stop {
            cx.stop();
        }
    }
}

impl Element for TimeFilter {
    fn act(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let (mut others, mut over) = (Batch::new(), false);
        batch.sift(
            |packet| {
                let time = packet.timestamp();
                if !self.known {
                    self.begin(time);
                }
                let after = self.end.is_some_and(|end| time >= end);
                over |= after;
                !after && self.start.is_none_or(|start| time >= start)
            },
            |packet| others.push(packet),
        );
        cx.output(1, others);
        if over {
            self.ended(cx);
        }
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
        if handler == "interval" {
            self.interval = Some(time);
            if self.known {
                self.end = Some(self.start.unwrap_or(0).saturating_add(time));
            }
        } else {
            self.interval = self.interval.map(|i| i.saturating_add(time));
            self.end = self.end.map(|e| e.saturating_add(time));
        }
        self.over = false;
        Ok(())
    }
}

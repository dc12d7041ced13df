use crate::args::Args;
use crate::decimal::decimal;
use crate::element::{Context, Element, Nanos, read, read_write, write};
use crate::packet::Batch;
use alloc::format;
use alloc::string::{String, ToString};
use core::any::Any;

crate::element! {
    /// Counts packets and bytes.
    ///
    /// # Arguments
    /// `COUNT_CALL`: `N HANDLER [VALUE]`: write the handler when N packets have been counted, and again after each reset.
    /// `BYTE_COUNT_CALL`: the same for bytes.
    ///
    /// # Handlers
    /// `count`, `byte_count`, `bit_count`: packets, bytes, bits so far. `rate`, `byte_rate`, `bit_rate`: the same per
    /// second, averaged over the last second or so. `count_call`, `byte_count_call`: the numbers of the arguments. `reset`,
    /// `reset_counts`: start again from 0.
    Counter "1/1" "a/a"
    keywords ["COUNT_CALL", "BYTE_COUNT_CALL"]
    handlers [
        read("count"), read("byte_count"), read("bit_count"), read("rate"), read("byte_rate"), read("bit_rate"),
        read_write("count_call"), read_write("byte_count_call"), write("reset"), write("reset_counts"),
    ]
    { count: u64, bytes: u64, packet_rate: Rate, byte_rate: Rate, call: Option<Call>, byte_call: Option<Call> }
}

/// Packets before the one that a handler is written for, from which on they move one by one: more than go together.
const NEAR: u64 = 4096;

/// A handler to be written when a count is reached.
pub(crate) struct Call {
    pub(crate) at: u64,
    /// It has been written.
    done: bool,
    handler: String,
    value: String,
}

pub(crate) fn call(text: &str) -> Result<Call, String> {
    let mut words = text.trim().splitn(3, char::is_whitespace);
    let at = words.next().and_then(crate::args::parse_number);
    match (at, words.next()) {
        (Some(at), Some(handler)) => Ok(Call {
            at,
            done: false,
            handler: handler.to_string(),
            value: words.next().unwrap_or("").to_string(),
        }),
        _ => Err(format!("expected 'N HANDLER [VALUE]', not '{text}'")),
    }
}

impl Call {
    /// Has it written before the packets go on.
    pub(crate) fn write(&self, cx: &mut Context<'_>) {
        cx.call(&format!("{} {}", self.handler, self.value));
    }
}

impl core::fmt::Display for Call {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} {} {}", self.at, self.handler, self.value)
    }
}

/// Things a second, averaged so that what happened a second ago counts about a third.
#[derive(Default)]
struct Rate {
    average: f64,
    seen: u64,
    at: Nanos,
}

impl Rate {
    /// Brings the average up to date, if enough time has passed for it to mean something.
    #[inline]
    fn update(&mut self, total: u64, now: Nanos) {
        let passed = now.saturating_sub(self.at);
        if passed >= 100_000_000 {
            self.step(total, passed, now);
        }
    }

    #[cold]
    fn step(&mut self, total: u64, passed: Nanos, now: Nanos) {
        let seconds = passed as f64 / 1e9;
        let current = total.saturating_sub(self.seen) as f64 / seconds;
        self.average += (current - self.average) * if seconds < 1.0 { seconds } else { 1.0 };
        (self.seen, self.at) = (total, now);
    }
}

impl Counter {
    fn new(args: &mut Args<'_>) -> Self {
        let mut get = |name: &str| {
            let text: String = args.key(name)?;
            call(&text).map_err(|e| args.error(format!("{name}: {e}"))).ok()
        };
        let (call, byte_call) = (get("COUNT_CALL"), get("BYTE_COUNT_CALL"));
        Self { count: 0, bytes: 0, packet_rate: Rate::default(), byte_rate: Rate::default(), call, byte_call }
    }

    #[cold]
    fn called(&mut self, cx: &mut Context<'_>, bytes: bool) {
        if let Some(call) = if bytes { &mut self.byte_call } else { &mut self.call } {
            call.done = true;
            call.write(cx);
        }
        self.look_ahead(cx);
    }

    /// When the next handler is to be written.
    fn next(call: &Option<Call>) -> Option<u64> {
        call.as_ref().filter(|call| !call.done).map(|call| call.at)
    }

    /// Has packets move one by one when a handler is soon to be written.
    fn look_ahead(&self, cx: &mut Context<'_>) {
        let near =
            |call, now: u64, margin| Self::next(call).is_some_and(|at| at.saturating_sub(now) <= margin);
        let near = near(&self.call, self.count, NEAR) || near(&self.byte_call, self.bytes, NEAR * 1500);
        cx.move_packets_one_by_one(near);
    }
}

impl Element for Counter {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        self.packet_rate.at = cx.now();
        self.byte_rate.at = cx.now();
        self.look_ahead(cx);
        Ok(())
    }

    fn push(&mut self, cx: &mut Context<'_>, _: usize, mut batch: Batch) {
        let left =
            Self::next(&self.call).map_or(usize::MAX, |at| at.saturating_sub(self.count).max(1) as usize);
        if left < batch.len() {
            // What is counted first goes all its way, and the handler is written, before the others come.
            let mut first = batch.take_front(left);
            self.simple_action(cx, &mut first);
            cx.output(0, first);
            return cx.push_again(0, batch);
        }
        self.simple_action(cx, &mut batch);
        cx.output(0, batch);
    }

    #[inline]
    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        self.count += batch.len() as u64;
        self.bytes += batch.bytes();
        self.packet_rate.update(self.count, cx.now());
        self.byte_rate.update(self.bytes, cx.now());
        if Self::next(&self.call).is_some_and(|at| self.count >= at) {
            self.called(cx, false);
        }
        if Self::next(&self.byte_call).is_some_and(|at| self.bytes >= at) {
            self.called(cx, true);
        }
        if self.call.is_some() || self.byte_call.is_some() {
            self.look_ahead(cx);
        }
    }

    fn take_over(&mut self, old: &mut dyn Element) {
        if let Some(old) = (old as &mut dyn Any).downcast_mut::<Counter>() {
            (self.count, self.bytes) = (old.count, old.bytes);
            let calls = [(&mut self.call, self.count), (&mut self.byte_call, self.bytes)];
            calls.into_iter().for_each(|(call, count)| {
                call.iter_mut().for_each(|call| call.done = count >= call.at);
            });
            self.packet_rate = core::mem::take(&mut old.packet_rate);
            self.byte_rate = core::mem::take(&mut old.byte_rate);
        }
    }

    fn read(&mut self, cx: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        self.packet_rate.update(self.count, cx.now());
        self.byte_rate.update(self.bytes, cx.now());
        let text = |call: &Option<Call>| call.as_ref().map_or(String::new(), |call| call.at.to_string());
        Ok(match handler {
            "count" => self.count.to_string(),
            "byte_count" => self.bytes.to_string(),
            "bit_count" => (self.bytes * 8).to_string(),
            "rate" => decimal(self.packet_rate.average, 1),
            "byte_rate" => decimal(self.byte_rate.average, 1),
            "bit_rate" => decimal(self.byte_rate.average * 8.0, 1),
            "count_call" => text(&self.call),
            _ => text(&self.byte_call),
        })
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        match handler {
            "count_call" | "byte_count_call" => {
                let mut call = if value.is_empty() { None } else { Some(call(value)?) };
                if handler == "count_call"
                    && let Some(call) = &mut call
                {
                    // A count that has passed does not come again.
                    call.done = self.count >= call.at;
                }
                *(if handler == "count_call" { &mut self.call } else { &mut self.byte_call }) = call;
                self.look_ahead(cx);
            }
            _ => {
                (self.count, self.bytes) = (0, 0);
                self.packet_rate = Rate { at: cx.now(), ..Rate::default() };
                self.byte_rate = Rate { at: cx.now(), ..Rate::default() };
                [&mut self.call, &mut self.byte_call]
                    .into_iter()
                    .flatten()
                    .for_each(|call| call.done = false);
                self.look_ahead(cx);
            }
        }
        Ok(())
    }
}

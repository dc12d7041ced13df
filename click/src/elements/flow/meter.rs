use crate::args::{Args, Argument, Bandwidth};
use crate::decimal::decimal;
use crate::element::{Context, Element, Nanos, read, read_write};
use crate::elements::content::distribute;
use crate::packet::Batch;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

crate::element! {
    /// Sends packets out by the rate of all packets, in packets a second.
    ///
    /// Output 0 while the rate is at most the first argument, output 1 while it is at most the second, and so on.
    ///
    /// # Arguments
    /// Rates, each higher than the one before, one fewer than there are outputs.
    ///
    /// # Handlers
    /// `rate`: packets a second. `meters`: the arguments.
    Meter "1/2-" "h/h"
    handlers [read("rate"), read_write("meters")]
    { inner: Rates }
}

/// Bytes instead of packets.
pub struct BandwidthMeter;

impl crate::element::Described for BandwidthMeter {
    const CLASS: crate::element::Class = crate::element::Class {
        name: "BandwidthMeter",
        #[cfg(feature = "manual")]
        manual: &[
            " Sends packets out by the rate of all packets, in bytes a second.",
            "",
            " Output 0 while the rate is at most the first argument, output 1 while it is at most the second, and so on.",
            "",
            " # Arguments",
            " Bandwidths, each higher than the one before, one fewer than there are outputs: bytes a second, or with a unit:",
            " `10 Mbps`, `2MBps`.",
            "",
            " # Handlers",
            " `rate`: bytes a second. `meters`: the arguments.",
        ],
        make: |args| alloc::boxed::Box::new(Meter { inner: Rates::new(args, true) }),
        ..<Meter as crate::element::Described>::CLASS
    };
}

/// A rate, averaged as counters do, and its limits.
struct Rates {
    bytes: bool,
    limits: Vec<u64>,
    average: f64,
    total: u64,
    seen: u64,
    at: Nanos,
}

impl Rates {
    fn new(args: &mut Args<'_>, bytes: bool) -> Self {
        let mut limits: Vec<u64> = Vec::new();
        for (number, word) in args.rest().iter().enumerate() {
            let rate = match bytes {
                true => Bandwidth::parse(&word.text, args.names).map(|b| b.0),
                false => u64::parse(&word.text, args.names),
            };
            match rate {
                None => args.error_in(word, format!("argument {} should be a rate", number + 1)),
                Some(rate) if limits.last().is_some_and(|before| *before >= rate) => {
                    args.error_in(word, format!("rate {} must be > rate {number}", number + 1));
                }
                Some(rate) => {
                    if bytes && word.text.ends_with(|c: char| c.is_ascii_digit()) && rate > 0 {
                        args.warn(format!("no units for bandwidth argument {}, assuming Bps", number + 1));
                    }
                    limits.push(rate);
                }
            }
        }
        if limits.len() + 1 != args.outputs {
            args.error(format!(
                "need {} arguments, one less than the number of output ports",
                args.outputs - 1
            ));
        }
        Self { bytes, limits, average: 0.0, total: 0, seen: 0, at: 0 }
    }

    /// The rate as of now.
    fn update(&mut self, now: Nanos) -> f64 {
        let passed = now.saturating_sub(self.at);
        if passed >= 10_000_000 {
            let seconds = passed as f64 / 1e9;
            let current = (self.total - self.seen) as f64 / seconds;
            self.average += (current - self.average) * if seconds < 1.0 { seconds } else { 1.0 };
            (self.seen, self.at) = (self.total, now);
        }
        self.average
    }
}

impl Meter {
    fn new(args: &mut Args<'_>) -> Self {
        Self { inner: Rates::new(args, false) }
    }
}

impl Element for Meter {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        self.inner.at = cx.now();
        Ok(())
    }

    fn push(&mut self, cx: &mut Context<'_>, _: usize, batch: Batch) {
        self.inner.total += if self.inner.bytes { batch.bytes() } else { batch.len() as u64 };
        let rate = self.inner.update(cx.now());
        let output = self.inner.limits.iter().position(|&most| rate <= most as f64);
        let output = output.unwrap_or(self.inner.limits.len());
        distribute(cx, batch, |_| output);
    }

    fn read(&mut self, cx: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(match handler {
            "rate" => decimal(self.inner.update(cx.now()), 1),
            _ => self.inner.limits.iter().map(|l| l.to_string() + "\n").collect(),
        })
    }

    fn write(&mut self, cx: &mut Context<'_>, _: &str, value: &str) -> Result<(), String> {
        let (bytes, names) = (self.inner.bytes, cx.names());
        let rate = |word: &str| match bytes {
            true => Bandwidth::parse(word, names).map(|b| b.0),
            false => u64::parse(word, names),
        };
        let limits: Option<Vec<u64>> = value.split([',', '\n']).map(str::trim).map(rate).collect();
        let limits = limits.filter(|l| l.len() == self.inner.limits.len() && l.is_sorted());
        self.inner.limits = limits.ok_or("expected as many rates as before, each higher than the last")?;
        Ok(())
    }
}

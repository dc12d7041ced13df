//! Measurements of one thing: median and spread.

use serde::{Serialize, Serializer};
use std::fmt;
use std::time::Duration;

/// What the numbers count.
#[derive(Clone, Copy, Debug, Serialize)]
pub enum Unit {
    /// Milliseconds.
    #[serde(rename = "ms")]
    Millis,
    /// Kibibytes.
    KiB,
    /// Gigabits (10^9) per second.
    #[serde(rename = "Gbit/s")]
    Gigabits,
    /// Processors.
    #[serde(rename = "CPUs")]
    Cores,
    /// How many times as much.
    #[serde(rename = "times")]
    Times,
    /// Requests a second.
    #[serde(rename = "1/s")]
    Rate,
    /// Millions a second.
    #[serde(rename = "10^6/s")]
    Millions,
    /// Hundredths of a processor.
    #[serde(rename = "% of a CPU")]
    Percent,
    /// Microseconds.
    #[serde(rename = "us")]
    Micros,
    /// Cycles of a processor.
    #[serde(rename = "cycles")]
    Cycles,
    /// Bytes.
    #[serde(rename = "B")]
    Bytes,
}

/// The measurements.
#[derive(Clone, Debug)]
pub struct Sample {
    what: String,
    unit: Unit,
    values: Vec<f64>,
}

impl Sample {
    /// None yet.
    pub fn new(what: impl Into<String>, unit: Unit) -> Self {
        Self { what: what.into(), unit, values: Vec::new() }
    }

    /// One more.
    pub fn push(&mut self, value: f64) {
        self.values.push(value);
    }

    /// One more, of a time in milliseconds.
    pub fn push_time(&mut self, time: Duration) {
        self.push(time.as_secs_f64() * 1e3);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The value that 99 of 100 are not above, as a row of its own.
    pub fn tail(&self) -> Self {
        self.percentile(99)
    }

    /// The value that so many of a hundred are not above, as a row of its own.
    pub fn percentile(&self, percent: u32) -> Self {
        let value = self.quantile(f64::from(percent) / 100.0);
        Self { what: format!("{}: p{percent}", self.what), unit: self.unit, values: vec![value] }
    }

    /// The value that a share of the measurements is not above.
    pub fn quantile(&self, share: f64) -> f64 {
        quantile(&self.values, share)
    }
}

/// The value that a share of these is not above.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (share * sorted.len().saturating_sub(1) as f64).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Millis => "ms",
            Unit::KiB => "KiB",
            Unit::Gigabits => "Gb/s",
            Unit::Cores => "CPUs",
            Unit::Times => "x",
            Unit::Rate => "1/s",
            Unit::Millions => "M/s",
            Unit::Percent => "%CPU",
            Unit::Micros => "us",
            Unit::Cycles => "cyc",
            Unit::Bytes => "B",
        };
        let [median, low, high] = [0.5, 0.1, 0.9].map(|q| self.quantile(q));
        let n = self.values.len();
        write!(f, "{:<58} {median:>10.2} {low:>10.2} {high:>10.2}  {unit:<4}{n:>7}", self.what)
    }
}

impl Serialize for Sample {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Row<'a> {
            what: &'a str,
            unit: Unit,
            median: f64,
            p10: f64,
            p90: f64,
            runs: usize,
            values: &'a [f64],
        }
        Row {
            what: self.what.trim(),
            unit: self.unit,
            median: self.quantile(0.5),
            p10: self.quantile(0.1),
            p90: self.quantile(0.9),
            runs: self.values.len(),
            values: &self.values,
        }
        .serialize(s)
    }
}

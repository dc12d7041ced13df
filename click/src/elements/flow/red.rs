use crate::args::{Args, Probability};
use crate::decimal::decimal;
use crate::element::{Context, Element, read, read_write};
use crate::handlers::parse;
use crate::packet::Batch;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Bits behind the point of the average.
const SCALE: u32 = 10;

crate::element! {
    /// Drops packets early, the more the longer queues are on average (Floyd and Jacobson, 1993).
    ///
    /// Looks at the queues that its packets go to, or that they are pulled from: the first ones on every way. Dropped
    /// packets leave by output 1, if it is there.
    ///
    /// # Arguments
    /// `MIN_THRESH`, `MAX_THRESH`: average length below which none and from which all are dropped. `MAX_P`: probability
    /// just below MAX_THRESH, from 0 to 1. `QUEUES`: names of other queues to look at, separated by spaces. `STABILITY`
    /// (4): an average has about 2^STABILITY lengths. `GENTLE` (false): above MAX_THRESH the probability rises from
    /// MAX_P to 1 at twice that length.
    ///
    /// # Handlers
    /// `min_thresh`, `max_thresh`, `max_p`: the arguments. `avg_queue_size`: average length. `drops`: packets dropped.
    /// `queues`: names of the queues. `stats`: these together.
    RED "1/1-2" "a/ah"
    keywords ["MIN_THRESH", "MAX_THRESH", "MAX_P", "QUEUES", "STABILITY", "GENTLE"]
    handlers [
        read_write("min_thresh"), read_write("max_thresh"), read_write("max_p"), read("avg_queue_size"),
        read("drops"), read("queues"), read("stats"),
    ]
    {
        least: u32,
        most: u32,
        probability: Probability,
        names: Vec<String>,
        queues: Vec<usize>,
        stability: u32,
        gentle: bool,
        average: u64,
        drops: u64,
    }
}

impl RED {
    fn new(args: &mut Args<'_>) -> Self {
        let (least, most) = (args.required("MIN_THRESH"), args.required("MAX_THRESH"));
        let probability = args.required("MAX_P");
        if least > most {
            args.error("MIN_THRESH greater than MAX_THRESH");
        }
        let names = args.key::<String>("QUEUES").unwrap_or_default();
        let stability = args.key("STABILITY").unwrap_or(4u32);
        if stability > 16 {
            args.error("STABILITY: expected a number from 0 to 16");
        }
        Self {
            least,
            most,
            probability,
            names: names.split_whitespace().map(String::from).collect(),
            queues: Vec::new(),
            stability: stability.min(16),
            gentle: args.key("GENTLE").unwrap_or(false),
            average: 0,
            drops: 0,
        }
    }

    /// Brings the average up to date.
    fn update_average(&mut self, cx: &mut Context<'_>) {
        let lengths = self.queues.iter().filter_map(|&q| cx.element(q)?.stored());
        let length = (lengths.sum::<usize>() as u64) << SCALE;
        let change = (i128::from(length) - i128::from(self.average)) / (1i128 << self.stability);
        self.average =
            if length == 0 && change == 0 { 0 } else { self.average.saturating_add_signed(change as i64) };
    }

    /// Probability to be dropped, in units of 2^-32.
    fn chance(&self) -> u64 {
        let (least, most) = (u64::from(self.least) << SCALE, u64::from(self.most) << SCALE);
        let part = |from: u64, to: u64| {
            ((u128::from(self.average - from) << 32) / u128::from((to - from).max(1))) as u64
        };
        let at_most = self.probability.0;
        match self.average {
            a if a <= least && a < most => 0,
            a if a < most => ((u128::from(part(least, most)) * u128::from(at_most)) >> 32) as u64,
            a if self.gentle && a < 2 * most => {
                at_most + ((u128::from(part(most, 2 * most)) * u128::from((1 << 32) - at_most)) >> 32) as u64
            }
            _ => 1 << 32,
        }
    }

    fn average(&self) -> String {
        decimal(self.average as f64 / f64::from(1 << SCALE), 3)
    }
}

impl Element for RED {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        for name in &self.names {
            let found = cx.find(name).filter(|&q| cx.element(q).is_some_and(|e| e.stored().is_some()));
            self.queues.push(found.ok_or_else(|| format!("QUEUES: '{name}' is not a queue"))?);
        }
        if self.queues.is_empty() {
            let downstream = cx.pushes(0);
            self.queues = cx.find_nearest(downstream, |e| e.stored().is_some());
        }
        if self.queues.is_empty() { Err("no nearby queues".to_string()) } else { Ok(()) }
    }

    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let mut dropped = Batch::new();
        // The queue grows only when the batch has arrived: its packets are seen one after the other all the same.
        batch.retain_or_else(
            |_| {
                self.update_average(cx);
                let chance = self.chance();
                chance == 0 || cx.random() >> 32 >= chance
            },
            |packet| dropped.push(packet),
        );
        self.drops += dropped.len() as u64;
        cx.output(1, dropped);
    }

    fn read(&mut self, cx: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        let queues = || self.queues.iter().map(|&q| format!("{}\n", cx.name_of(q))).collect::<String>();
        Ok(match handler {
            "min_thresh" => self.least.to_string(),
            "max_thresh" => self.most.to_string(),
            "max_p" => decimal(self.probability.0 as f64 / (1u64 << 32) as f64, 4),
            "avg_queue_size" => self.average(),
            "drops" => self.drops.to_string(),
            "queues" => queues(),
            _ => format!("{} avg queue size\n{} drops\n{}", self.average(), self.drops, queues()),
        })
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        let (mut least, mut most) = (self.least, self.most);
        match handler {
            "min_thresh" => least = parse(cx, value)?,
            "max_thresh" => most = parse(cx, value)?,
            _ => self.probability = parse(cx, value)?,
        }
        if least > most {
            return Err("MIN_THRESH greater than MAX_THRESH".to_string());
        }
        (self.least, self.most) = (least, most);
        Ok(())
    }
}

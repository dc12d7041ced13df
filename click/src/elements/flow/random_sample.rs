use crate::args::{Args, Probability};
use crate::decimal::decimal;
use crate::element::{Context, Element, read, read_write};
use crate::handlers::parse;
use crate::packet::Batch;
use alloc::string::{String, ToString};

crate::element! {
    /// Lets each packet pass with a probability.
    ///
    /// The others go out of output 1, or are dropped if it is not there.
    ///
    /// # Arguments
    /// `P`, or `SAMPLE`: probability to pass, from 0 to 1. `DROP`: probability to be dropped, instead. `ACTIVE`
    /// (true): when false, all packets pass.
    ///
    /// # Handlers
    /// `sampling_prob`: the probability to pass; `drop_prob`: that to be dropped. `active`: the argument. `drops`: packets that did not pass.
    RandomSample "1/1-2" "a/ah"
    keywords ["P", "SAMPLE", "DROP", "ACTIVE"]
    handlers [read_write("sampling_prob"), read_write("drop_prob"), read_write("active"), read("drops")]
    { pass: u64, active: bool, drops: u64 }
}

impl RandomSample {
    fn new(args: &mut Args<'_>) -> Self {
        let drop = args.key::<Probability>("DROP").map(|p| (1 << 32) - p.0);
        let pass = args.either::<Probability>(&["P", "SAMPLE"]).map(|p| p.0);
        if drop.is_some() == pass.is_some() {
            args.error("expected either the probability to pass, or DROP");
        }
        Self { pass: drop.or(pass).unwrap_or(0), active: args.key("ACTIVE").unwrap_or(true), drops: 0 }
    }
}

impl Element for RandomSample {
    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        if !self.active {
            return;
        }
        let others = batch.partition(|_| cx.random() >> 32 < self.pass);
        self.drops += others.len() as u64;
        cx.output(1, others);
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(match handler {
            "sampling_prob" | "drop_prob" => {
                let part = if handler == "drop_prob" { (1 << 32) - self.pass } else { self.pass };
                let text = decimal(part as f64 / (1u64 << 32) as f64, 6);
                text.trim_end_matches('0').trim_end_matches('.').to_string()
            }
            "active" => self.active.to_string(),
            _ => self.drops.to_string(),
        })
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        match handler {
            "sampling_prob" => self.pass = parse::<Probability>(cx, value)?.0,
            "drop_prob" => self.pass = (1 << 32) - parse::<Probability>(cx, value)?.0,
            _ => self.active = parse(cx, value)?,
        }
        Ok(())
    }
}

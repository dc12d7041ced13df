use crate::args::{Args, parse_time, seconds};
use crate::element::{Context, Element, read_write};
use crate::packet::Batch;
use alloc::format;
use alloc::string::String;

crate::element! {
    /// Moves packets' timestamps by a time.
    ///
    /// # Arguments
    /// `DELTA`: seconds, which may be negative.
    ///
    /// # Handlers
    /// `delta`: the argument.
    AdjustTimestamp "1/1" "a/a"
    keywords ["DELTA"]
    handlers [read_write("delta")]
    { delta: i64 }
}

fn delta(text: &str) -> Result<i64, String> {
    let (number, sign) = text.strip_prefix('-').map_or((text, 1), |rest| (rest, -1));
    let time = parse_time(number).and_then(|t| i64::try_from(t).ok());
    time.map(|t| t * sign).ok_or_else(|| format!("DELTA: expected a time in seconds, not '{text}'"))
}

impl AdjustTimestamp {
    fn new(args: &mut Args<'_>) -> Self {
        let text: String = args.required("DELTA");
        let delta = delta(&text).unwrap_or_else(|message| {
            args.error(message);
            0
        });
        Self { delta }
    }
}

impl Element for AdjustTimestamp {
    fn act(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.each(|packet| packet.set_timestamp(packet.timestamp().saturating_add_signed(self.delta)));
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        let sign = if self.delta < 0 { "-" } else { "" };
        Ok(format!("{sign}{}", seconds(self.delta.unsigned_abs())))
    }

    fn write(&mut self, _: &mut Context<'_>, _: &str, value: &str) -> Result<(), String> {
        self.delta = delta(value)?;
        Ok(())
    }
}

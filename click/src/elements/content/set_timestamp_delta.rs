use crate::args::{Args, seconds};
use crate::element::{Context, Element, read, write};
use crate::packet::Batch;
use alloc::format;
use alloc::string::String;

crate::element! {
    /// Sets packets' timestamps to the time since an earlier one.
    ///
    /// Packets without a timestamp stay without.
    ///
    /// # Arguments
    /// `TYPE` (RANGE): `RANGE`: since the first packet's; `NOW`: from it until now; `FIRST`: since the packet's first
    /// timestamp annotation.
    ///
    /// # Handlers
    /// `first`: the first packet's timestamp. `reset`: the next packet is the first.
    SetTimestampDelta "1/1" "a/a"
    keywords ["TYPE"]
    handlers [read("first"), write("reset")]
    { since: Since, first: u64 }
}

#[derive(Clone, Copy)]
enum Since {
    Range,
    Now,
    First,
}

impl SetTimestampDelta {
    fn new(args: &mut Args<'_>) -> Self {
        let since = match args.next::<String>("TYPE").as_deref() {
            None | Some("RANGE") => Since::Range,
            Some("NOW") => Since::Now,
            Some("FIRST") => Since::First,
            Some(other) => {
                args.error(format!("bad TYPE '{other}'"));
                Since::Range
            }
        };
        Self { since, first: 0 }
    }
}

impl Element for SetTimestampDelta {
    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let now = cx.host.wall_clock();
        batch.each(|packet| {
            let time = packet.timestamp();
            if time == 0 {
                return;
            }
            if self.first == 0 {
                self.first = time;
            }
            let since = match self.since {
                Since::Range => time.saturating_sub(self.first),
                Since::Now => now.saturating_sub(time),
                Since::First => {
                    let first = core::array::from_fn(|i| packet.user()[super::FIRST_TIMESTAMP + i]);
                    time.saturating_sub(u64::from_ne_bytes(first))
                }
            };
            packet.set_timestamp(since);
        });
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(seconds(self.first))
    }

    fn write(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<(), String> {
        self.first = 0;
        Ok(())
    }
}

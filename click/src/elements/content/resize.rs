use crate::args::Args;
use crate::element::{Context, Element, read_write};
use crate::handlers::parse;
use crate::packet::Batch;
use alloc::string::{String, ToString};

crate::element! {
    /// Adds bytes to packets' fronts and ends, or takes them off.
    ///
    /// Bytes at the end are zero; those in front are what was there before, a header that was stripped, say. Packets that
    /// are too short become empty.
    ///
    /// # Arguments
    /// `HEAD` (0): bytes to add in front; negative: to take off. `TAIL` (0): the same at the end.
    ///
    /// # Handlers
    /// `head`, `tail`: the arguments.
    Resize "1/1" "a/a"
    keywords ["HEAD", "TAIL"]
    handlers [read_write("head"), read_write("tail")]
    { head: i32, tail: i32 }
}

impl Resize {
    fn new(args: &mut Args<'_>) -> Self {
        Self { head: args.next("HEAD").unwrap_or(0), tail: args.next("TAIL").unwrap_or(0) }
    }
}

impl Element for Resize {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        let (head, tail) = (self.head.unsigned_abs() as usize, self.tail.unsigned_abs() as usize);
        batch.retain_or_else(
            |packet| {
                if self.head >= 0 {
                    if packet.push(head).is_none() {
                        return false;
                    }
                } else if !packet.pull(head) {
                    packet.truncate(0);
                }
                if self.tail >= 0 {
                    return packet.put(tail).is_some();
                }
                packet.truncate(packet.len().saturating_sub(tail));
                true
            },
            drop,
        );
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(if handler == "head" { self.head } else { self.tail }.to_string())
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        *(if handler == "head" { &mut self.head } else { &mut self.tail }) = parse(cx, value)?;
        Ok(())
    }
}

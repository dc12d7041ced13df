use super::annotation;
use crate::args::Args;
use crate::element::{Context, Element, read, read_write};
use crate::handlers::parse;
use crate::packet::Batch;
use alloc::string::{String, ToString};

crate::element! {
    /// Sets a byte of packets' user annotations.
    ///
    /// # Arguments
    /// `ANNO`: which one, a number or a name such as PAINT. `VALUE`: its value, 0 to 255.
    ///
    /// # Handlers
    /// `value`: the argument. `anno`: the byte that is set.
    SetAnnoByte "1/1" "a/a"
    keywords ["ANNO", "VALUE"]
    handlers [read_write("value"), read("anno")]
    { at: usize, value: u8 }
}

impl SetAnnoByte {
    fn new(args: &mut Args<'_>) -> Self {
        args.warn("SetAnnoByte(ANNO, VALUE) is obsolete, use Paint(VALUE, ANNO) instead");
        let at = annotation(args);
        if at.is_none() {
            args.error("missing mandatory ANNO argument");
        }
        Self { at: at.unwrap_or(0), value: args.required("VALUE") }
    }
}

impl Element for SetAnnoByte {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.each(|packet| packet.user()[self.at] = self.value);
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(if handler == "anno" { self.at.to_string() } else { self.value.to_string() })
    }

    fn write(&mut self, cx: &mut Context<'_>, _: &str, value: &str) -> Result<(), String> {
        self.value = parse(cx, value)?;
        Ok(())
    }
}

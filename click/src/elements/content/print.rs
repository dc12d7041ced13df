use crate::args::{Args, stamp};
use crate::element::{Context, Element, read_write};
use crate::handlers::parse;
use crate::packet::{Batch, Packet};
use alloc::string::{String, ToString};
use core::fmt::Write;

crate::element! {
    /// Prints packets: label, length, and the first bytes.
    ///
    /// # Arguments
    /// `LABEL`: what to print first. `MAXLENGTH`, `LENGTH` or `NBYTES` (24): bytes to print; negative:
    /// all. `CONTENTS` (HEX): `HEX`, `ASCII`
    /// or `NONE`. `TIMESTAMP` (false), `PRINTANNO` (false), `HEADROOM` (false): print these too. `ACTIVE`
    /// (true). `CPU` is accepted, and there is one only.
    ///
    /// # Handlers
    /// `active`: the argument.
    Print "1/1" "a/a"
    keywords ["LABEL", "MAXLENGTH", "LENGTH", "NBYTES", "CONTENTS", "TIMESTAMP", "PRINTANNO", "HEADROOM", "ACTIVE", "CPU"]
    handlers [read_write("active")]
    { label: String, most: usize, contents: Contents, timestamp: bool, annotations: bool, headroom: bool, active: bool }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Contents {
    None,
    Hex,
    Ascii,
}

impl Print {
    fn new(args: &mut Args<'_>) -> Self {
        let label = args.next("LABEL").unwrap_or_default();
        let most: i32 = args.either(&["MAXLENGTH", "LENGTH", "NBYTES"]).unwrap_or(24);
        let contents = match args.key::<String>("CONTENTS").map(|t| t.to_ascii_uppercase()).as_deref() {
            None | Some("HEX" | "TRUE" | "YES" | "1") => Contents::Hex,
            Some("ASCII") => Contents::Ascii,
            Some("NONE" | "FALSE" | "NO" | "0") => Contents::None,
            Some(other) => {
                args.error(alloc::format!("CONTENTS: expected HEX, ASCII or NONE, not '{other}'"));
                Contents::None
            }
        };
        let _one_processor_only = args.key::<bool>("CPU");
        Self {
            label,
            most: usize::try_from(most).unwrap_or(usize::MAX),
            contents,
            timestamp: args.key("TIMESTAMP").unwrap_or(false),
            annotations: args.key("PRINTANNO").unwrap_or(false),
            headroom: args.key("HEADROOM").unwrap_or(false),
            active: args.key("ACTIVE").unwrap_or(true),
        }
    }

    fn line(&self, packet: &mut Packet) -> String {
        let mut out = String::new();
        if !self.label.is_empty() {
            out = self.label.clone() + ": ";
        }
        if self.timestamp {
            out += &(stamp(packet.timestamp()) + ": ");
        }
        if self.headroom {
            let _ = write!(out, "(h{} t{}) ", packet.headroom(), packet.tailroom());
        }
        if self.annotations {
            out.extend(packet.user().iter().map(|b| alloc::format!("{b:02x}")));
            out += " | ";
        }
        let _ = write!(out, "{:4}", packet.len());
        let shown = &packet.data()[..packet.len().min(self.most)];
        out += match self.contents {
            _ if shown.is_empty() => "",
            Contents::None => "",
            Contents::Hex => " |",
            Contents::Ascii => " | ",
        };
        for (i, b) in shown.iter().enumerate() {
            match self.contents {
                Contents::Hex => {
                    let space = if i % 4 == 0 { " " } else { "" };
                    let _ = write!(out, "{space}{b:02x}");
                }
                Contents::Ascii => {
                    if i % 8 == 0 {
                        out.push(' ');
                    }
                    out.push(if b.is_ascii_graphic() || *b == b' ' { *b as char } else { '.' });
                }
                Contents::None => {}
            }
        }
        out
    }
}

impl Element for Print {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        cx.take_packets_one_by_one(self.active);
        Ok(())
    }

    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        if self.active {
            batch.each(|packet| cx.print(&self.line(packet)));
        }
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(self.active.to_string())
    }

    fn write(&mut self, cx: &mut Context<'_>, _: &str, value: &str) -> Result<(), String> {
        self.active = parse(cx, value)?;
        self.initialize(cx)
    }
}

use super::field::{self, Field};
use crate::configuration::reason;
use click::args::{Args, split};
use click::element::{Context, Element, read, write};
use click::elements::content::EXTRA_PACKETS;
use click::packet::{BURST, Batch};
use std::any::Any;
use std::fs::File;
use std::io::{BufWriter, Write};

click::element! {
    /// Writes a line of text about each packet to a file, and passes packets on if it has an output.
    ///
    /// Fields: `timestamp`, `ts_sec`, `ts_usec1`, `eth_src`, `eth_dst`, `eth_type`, `ip_src`, `ip_dst`, `ip_tos`, `ip_dscp`, `ip_ecn`,
    /// `ip_ttl`, `ip_frag`, `ip_fragoff`, `ip_id`, `ip_sum`, `ip_proto`, `ip_hl`, `ip_len`, `ip_capture_len`, `sport`,
    /// `dport`, `tcp_seq`, `tcp_ack`, `tcp_off`, `tcp_flags`, `tcp_window`, `tcp_urp`, `tcp_sum`, `udp_len`, `udp_sum`, `icmp_type`,
    /// `icmp_code`, `payload`, `payload_len`, `capture_len`, `wire_len`, `count`, `link`, `aggregate`. What a packet does
    /// not have is `-`. IP fields need packets whose IP header is marked.
    ///
    /// # Arguments
    /// `FILENAME`: the file, `-` being standard output. `FIELDS` (`timestamp ip_src`): what stands in a line; `CONTENTS`,
    /// `DATA` mean the same. `HEADER` (true): the file begins with lines that say what it holds. `VERBOSE` (false):
    /// among them who made it. `BANNER`: a comment there. `MULTIPACKET` (false): a packet that stands for several
    /// gets several lines. `BAD_PACKETS` (false), `CAREFUL_TRUNC`, `BINARY` (false) are accepted as they are.
    ///
    /// # Handlers
    /// `count`: packets so far. `filename`: the argument. `reset_counts`: sets the count to 0. `flush`: has all lines in the
    /// file.
    ToIPSummaryDump "1/0-1" "a/a"
    keywords [
        "FILENAME", "FIELDS", "CONTENTS", "DATA", "HEADER", "VERBOSE", "BANNER", "MULTIPACKET", "BAD_PACKETS",
        "CAREFUL_TRUNC", "BINARY",
    ]
    handlers [read("count"), read("filename"), write("reset_counts"), write("flush")]
    {
        name: String,
        fields: Vec<Field>,
        header: bool,
        verbose: bool,
        banner: Option<String>,
        multipacket: bool,
        file: Option<BufWriter<Box<dyn Write>>>,
        pulls: bool,
        count: u64,
    }
}

/// The fields that an argument lists.
pub(super) fn fields(text: &str) -> Result<Vec<Field>, String> {
    let words = split(text).into_iter().flat_map(|part| {
        // A name in quotes may hold blanks.
        let quoted = part.starts_with('"');
        if quoted { vec![part] } else { part.split_whitespace().collect() }
    });
    words.map(|w| Field::named(w).ok_or_else(|| format!("unknown content type '{w}'"))).collect()
}

impl ToIPSummaryDump {
    fn new(args: &mut Args<'_>) -> Self {
        let name = args.required::<String>("FILENAME");
        let given = ["CONTENTS", "DATA", "FIELDS"].map(|k| args.key::<String>(k));
        let given = given.into_iter().flatten().next();
        let mut list = given.unwrap_or_else(|| "timestamp ip_src".to_string());
        if args.left() > 0 {
            list = args.rest().into_iter().map(|w| w.text).collect::<Vec<_>>().join(" ");
        }
        let fields = fields(&list).unwrap_or_else(|message| {
            args.error(format!("FIELDS: {message}"));
            Vec::new()
        });
        for accepted in ["BAD_PACKETS", "CAREFUL_TRUNC"] {
            args.key::<bool>(accepted);
        }
        if args.key("BINARY").unwrap_or(false) {
            args.error("BINARY: only text is written");
        }
        Self {
            name,
            fields,
            header: args.key("HEADER").unwrap_or(true),
            verbose: args.key("VERBOSE").unwrap_or(false),
            banner: args.key("BANNER"),
            multipacket: args.key("MULTIPACKET").unwrap_or(false),
            file: None,
            pulls: false,
            count: 0,
        }
    }

    fn open(&self) -> std::io::Result<BufWriter<Box<dyn Write>>> {
        let out: Box<dyn Write> = match self.name.as_str() {
            "-" => Box::new(std::io::stdout()),
            name => Box::new(File::create(name)?),
        };
        let mut out = BufWriter::new(out);
        if self.header {
            writeln!(out, "!IPSummaryDump 1.3")?;
            if self.verbose {
                writeln!(out, "!creator \"MicroVisor click {}\"", env!("CARGO_PKG_VERSION"))?;
            }
            if let Some(banner) = &self.banner {
                writeln!(out, "!creator \"{banner}\"")?;
            }
            let names: Vec<_> = self.fields.iter().map(|f| f.name()).collect();
            writeln!(out, "!data {}", names.join(" "))?;
        }
        Ok(out)
    }

    fn save(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let Some(file) = &mut self.file else { return };
        let (mut line, mut failed) = (String::new(), None);
        let (fields, multipacket, count) = (&self.fields, self.multipacket, &mut self.count);
        batch.each(|packet| {
            let extra = EXTRA_PACKETS.get(packet);
            let times = if multipacket { 1 + u64::from(extra) } else { 1 };
            if multipacket {
                EXTRA_PACKETS.set(packet, 0);
            }
            line.clear();
            for (i, field) in fields.iter().enumerate() {
                if i > 0 {
                    line.push(' ');
                }
                field::write(*field, packet, &mut line);
            }
            line.push('\n');
            EXTRA_PACKETS.set(packet, extra);
            for _ in 0..times {
                *count += 1;
                failed = file.write_all(line.as_bytes()).err().or(failed.take());
            }
        });
        if let Some(e) = failed {
            cx.print(&format!("{}: {}: {}", cx.name(), self.name, reason(&e)));
            self.file = None;
        }
    }
}

impl Element for ToIPSummaryDump {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        self.file = Some(self.open().map_err(|e| format!("{}: {}", self.name, reason(&e)))?);
        self.pulls = cx.outputs() == 0 && cx.pulls(0);
        if self.pulls {
            cx.schedule();
        }
        Ok(())
    }

    fn act(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        self.save(cx, batch);
    }

    fn is_puller(&self) -> bool {
        true
    }

    fn work(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.pulls {
            return false;
        }
        let mut batch = cx.pull(0, BURST);
        self.save(cx, &mut batch);
        !batch.is_empty()
    }

    fn take_over(&mut self, old: &mut dyn Element) {
        if let Some(old) = (old as &mut dyn Any).downcast_mut::<ToIPSummaryDump>() {
            self.count = old.count;
        }
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(if handler == "count" { self.count.to_string() } else { self.name.clone() })
    }

    fn write(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<(), String> {
        match (handler, &mut self.file) {
            ("flush", Some(file)) => file.flush().map_err(|e| format!("{}: {}", self.name, reason(&e)))?,
            ("flush", None) => {}
            _ => self.count = 0,
        }
        Ok(())
    }
}

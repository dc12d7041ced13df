use super::field::Field;
use super::view::View;
use crate::files::reason;
use click::Packet;
use click::args::{Args, split};
use click::element::{Context, Element, read, write};
use click::elements::content::{EXTRA_LENGTH, EXTRA_PACKETS};
use click::packet::{BURST, Batch};
use std::any::Any;
use std::io::Write;

click::element! {
    /// Writes a line of text about each packet to a file, and passes packets on if it has an output.
    ///
    /// Fields: `timestamp`, `ntimestamp`, `ts_sec`, `ts_usec`, `ts_usec1`, `first_timestamp`, `first_ntimestamp`, `eth_src`,
    /// `eth_dst`, `eth_type`, `ip_src`, `ip_dst`, `ip_tos`, `ip_dscp`, `ip_ecn`, `ip_ttl`, `ip_frag`, `ip_fragoff`, `ip_id`,
    /// `ip_sum`, `ip_proto`, `ip_hl`, `ip_len`, `ip_capture_len`, `ip_opt`, `sport`, `dport`, `tcp_seq`, `tcp_ack`,
    /// `tcp_off`, `tcp_flags`, `tcp_window`, `tcp_urp`, `tcp_sum`, `tcp_opt`, `tcp_ntopt` (without timestamps), `tcp_sack`,
    /// `udp_len`, `udp_sum`, `icmp_type`, `icmp_code`, `icmp_type_name`, `icmp_code_name`, `icmp_flowid`, `icmp_seq`,
    /// `icmp_nextmtu`, `payload`, `payload_md5`, `payload_md5_hex`, `payload_len`, `capture_len`, `wire_len`, `count`, `link`, `paint`, `direction` (`>` and `<`
    /// for the links 0 and 1), `aggregate`. `ip_` may be left out. What a packet does not have is `-`. IP fields need
    /// packets whose IP header is marked.
    ///
    /// Options are written as in `rr{1.2.3.4}+2`, `ssrr{1.2.3.4^5.6.7.8}`, `ts.ip{1.2.3.4=5}`, `mss1460`, `wscale3`,
    /// `sackok`, `sack1-2`, `ts1:2`, `99=0:5`, with semicolons between them; `.` means none, `?` that they are wrong.
    ///
    /// # Arguments
    /// `FILENAME`: the file, `-` being standard output. `FIELDS` (`timestamp ip_src`): what stands in a line; `CONTENTS`,
    /// `DATA` mean the same. `HEADER` (true): the file begins with lines that say what it holds. `VERBOSE` (false):
    /// among them who made it. `BANNER`: a comment there. `MULTIPACKET` (false): a packet that stands for several
    /// gets several lines, unless `count` is a field. `BAD_PACKETS` (false): a line `!bad` says what is wrong with the
    /// packet of the next one. `CAREFUL_TRUNC` (true): it is wrong if bytes of it are missing that the extra length
    /// annotation does not account for. `EXTRA_LENGTH` (true): that annotation counts. `BINARY` (false): records of
    /// bytes in the place of lines.
    ///
    /// # Handlers
    /// `count`: packets so far. `filename`: the argument. `reset_counts`: sets the count to 0. `flush`: has all lines in the
    /// file.
    ToIPSummaryDump "1/0-1" "a/h"
    keywords [
        "FILENAME", "FIELDS", "CONTENTS", "DATA", "HEADER", "VERBOSE", "BANNER", "MULTIPACKET", "BAD_PACKETS",
        "CAREFUL_TRUNC", "EXTRA_LENGTH", "BINARY",
    ]
    handlers [read("count"), read("filename"), write("reset_counts"), write("flush")]
    {
        name: String,
        fields: Vec<Field>,
        header: bool,
        verbose: bool,
        banner: Option<String>,
        multipacket: bool,
        bad_packets: bool,
        careful: bool,
        extra_length: bool,
        binary: bool,
        file: Option<Box<dyn Write + Send>>,
        pulls: bool,
        count: u64,
        /// What is being written, whose memory is used again.
        line: String,
        record: Vec<u8>,
    }
}

/// The fields that an argument lists.
fn fields(text: &str) -> Result<Vec<Field>, String> {
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
            args.error(message);
            Vec::new()
        });
        let binary = args.key("BINARY").unwrap_or(false);
        if let Some(field) = fields.iter().find(|f| binary && !f.has_bytes()) {
            args.error(format!("cannot use field {} with BINARY", field.name()));
        }
        let counts = fields.contains(&Field::Count);
        Self {
            name,
            fields,
            header: args.key("HEADER").unwrap_or(true),
            verbose: args.key("VERBOSE").unwrap_or(false),
            banner: args.key("BANNER"),
            multipacket: args.key("MULTIPACKET").unwrap_or(false) && !counts,
            bad_packets: args.key("BAD_PACKETS").unwrap_or(false),
            careful: args.key("CAREFUL_TRUNC").unwrap_or(true),
            extra_length: args.key("EXTRA_LENGTH").unwrap_or(true),
            binary,
            file: None,
            pulls: false,
            count: 0,
            line: String::new(),
            record: Vec::new(),
        }
    }

    fn open(&self) -> std::io::Result<Box<dyn Write + Send>> {
        let mut out = super::create(&self.name)?;
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
            if self.binary {
                writeln!(out, "!binary")?;
            }
        }
        Ok(out)
    }

    fn save(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let Some(mut file) = self.file.take() else { return };
        let mut result = Ok(());
        batch.each(|packet| {
            if result.is_ok() {
                result = self.save_one(&mut file, packet);
            }
        });
        match result {
            Ok(()) => self.file = Some(file),
            Err(e) => cx.print(&format!("{}: {}: {}", cx.name(), self.name, reason(&e))),
        }
    }

    /// Writes a packet, or each of those that it stands for, which share its bytes.
    fn save_one(&mut self, file: &mut impl Write, packet: &mut Packet) -> std::io::Result<()> {
        let (more, extra) = (EXTRA_PACKETS.get(packet), EXTRA_LENGTH.get(packet));
        if !self.extra_length {
            EXTRA_LENGTH.set(packet, 0);
        }
        let times = if self.multipacket { u64::from(more) + 1 } else { 1 };
        if times == 1 {
            self.count += 1;
            self.summary(file, packet)?;
        } else {
            let least = packet.len() as u64;
            let mut left = (least + u64::from(EXTRA_LENGTH.get(packet))).max(times * least);
            EXTRA_PACKETS.set(packet, 0);
            for i in (1..=times).rev() {
                EXTRA_LENGTH.set(packet, (left / i - least) as u32);
                left -= left / i;
                self.count += 1;
                self.summary(file, packet)?;
            }
        }
        EXTRA_PACKETS.set(packet, more);
        EXTRA_LENGTH.set(packet, extra);
        Ok(())
    }

    /// Writes a line or a record.
    fn summary(&mut self, file: &mut impl Write, packet: &mut Packet) -> std::io::Result<()> {
        let mut view = View::new(packet, self.careful);
        let (record, line) = (&mut self.record, &mut self.line);
        record.clear();
        line.clear();
        for (i, field) in self.fields.iter().enumerate() {
            let value = view.value(*field);
            if self.binary {
                field.write_bytes(value.as_ref(), record);
                continue;
            }
            if i > 0 {
                line.push(' ');
            }
            match value {
                Some(value) => field.write(&value, line),
                None => line.push('-'),
            }
        }
        let bad = view.bad().filter(|_| self.bad_packets).map(|bad| format!("!bad {bad}\n"));
        if !self.binary {
            line.push('\n');
            if let Some(bad) = bad {
                file.write_all(bad.as_bytes())?;
            }
            return file.write_all(line.as_bytes());
        }
        if let Some(bad) = bad {
            file.write_all(&((bad.len() as u32 + 4) | (1 << 31)).to_be_bytes())?;
            file.write_all(bad.as_bytes())?;
        }
        file.write_all(&(record.len() as u32 + 4).to_be_bytes())?;
        file.write_all(record)
    }
}

impl Element for ToIPSummaryDump {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        self.file = Some(self.open().map_err(|e| format!("{}: {}", self.name, reason(&e)))?);
        self.pulls = cx.pulls(0);
        if self.pulls {
            cx.schedule();
        }
        Ok(())
    }

    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        self.save(cx, batch);
    }

    fn is_puller(&self) -> bool {
        true
    }

    fn run_task(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.pulls {
            return false;
        }
        let mut batch = cx.pull(0, BURST);
        self.save(cx, &mut batch);
        let any = !batch.is_empty();
        cx.output(0, batch);
        any
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

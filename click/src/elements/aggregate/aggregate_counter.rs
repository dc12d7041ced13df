use crate::args::Args;
use crate::element::{Context, Element, read, read_write, write};
use crate::elements::content::{AGGREGATE, Call, EXTRA_LENGTH, EXTRA_PACKETS, Runs, call};
use crate::handlers::parse;
use crate::packet::{Batch, Packet};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};

/// Most aggregates: then it is frozen.
const MOST: usize = 1 << 16;

crate::element! {
    /// Counts packets or bytes for each value of the aggregate annotation.
    ///
    /// What comes in by input 1 is counted for values that are known. Packets that were not counted leave by output 1,
    /// if it is there. More than 65536 different values are not counted.
    ///
    /// # Arguments
    /// `BYTES` (false): count bytes. `IP_BYTES` (false): count bytes from the IP header on. `MULTIPACKET` (true): count
    /// the packets that a packet of a trace stands for. `EXTRA_LENGTH` (true): count bytes that it lacks.
    /// `AGGREGATE_FREEZE`, `AGGREGATE_STOP`: count no new values, or stop the router, when there are so many;
    /// `COUNT_FREEZE`, `COUNT_STOP`: when so much is counted. `AGGREGATE_CALL`, `COUNT_CALL`: `N HANDLER [VALUE]`:
    /// write a handler then. `BANNER`: a line for dumps. Older names of these: `FREEZE_AFTER_AGG`, `STOP_AFTER_AGG`,
    /// `CALL_AFTER_AGG`, `FREEZE_AFTER_COUNT`, `STOP_AFTER_COUNT`, `CALL_AFTER_COUNT`.
    ///
    /// # Handlers
    /// `counts`: values and counts, one a line. `nagg`: how many values. `count`: all counted. `freeze`, `active`,
    /// `banner`: settings. `aggregate_call`, `count_call` (`call_after_agg`, `call_after_count`): the arguments.
    /// `write_text_file`, `write_ascii_file`: writes the counts to a file, or to the standard output (`-`); where there are
    /// no files, `-` prints them. `write_ip_file`: the same with values as addresses; `write_pdf_file`: with counts as
    /// parts of all; `write_file`: as words of four bytes, in the machine's order. `reaggregate_counts`, `counts_pdf`: counts become the values, and how often each was there the counts. `stop`: inactive, and
    /// the router stops. `clear`: forgets all.
    AggregateCounter "1-2/1-2" "a/ah"
    keywords [
        "BYTES", "IP_BYTES", "MULTIPACKET", "EXTRA_LENGTH", "FREEZE_AFTER_AGG", "STOP_AFTER_AGG", "FREEZE_AFTER_COUNT",
        "STOP_AFTER_COUNT", "CALL_AFTER_AGG", "CALL_AFTER_COUNT", "BANNER", "AGGREGATE_FREEZE", "AGGREGATE_STOP",
        "AGGREGATE_CALL", "COUNT_FREEZE", "COUNT_STOP", "COUNT_CALL",
    ]
    handlers [
        read("counts"), read("nagg"), read("count"), read_write("freeze"), read_write("active"), read_write("banner"),
        read_write("call_after_agg"), read_write("call_after_count"), write("write_ascii_file"),
        read_write("aggregate_call"), read_write("count_call"), write("write_text_file"), write("write_file"),
        write("write_ip_file"), write("write_pdf_file"), write("reaggregate_counts"), write("counts_pdf"), write("stop"), write("clear"),
    ]
    {
        bytes: bool,
        from_ip: bool,
        many: bool,
        extra: bool,
        frozen: bool,
        active: bool,
        counts: BTreeMap<u32, u64>,
        total: u64,
        after: [Option<After>; 2],
        banner: String,
    }
}

/// What happens when there are so many values, or so much is counted.
struct After {
    at: u64,
    what: What,
}

enum What {
    Freeze,
    Stop,
    Call(Call),
}

impl AggregateCounter {
    fn new(args: &mut Args<'_>) -> Self {
        let mut after = |name: &str, old: &str| {
            let mut found = None;
            let names = |what: &str| [format!("{name}_{what}"), format!("{what}_AFTER_{old}")];
            let mut number =
                |what: &str| names(what).iter().find_map(|n| args.key::<u64>(n)).filter(|n| *n < u64::MAX);
            let freeze = number("FREEZE").map(|at| After { at, what: What::Freeze });
            let stop = number("STOP").map(|at| After { at, what: What::Stop });
            let text: Option<String> = names("CALL").iter().find_map(|n| args.key(n));
            let call = text.and_then(|text| match call(&text) {
                Ok(call) => Some(After { at: call.at, what: What::Call(call) }),
                Err(message) => {
                    args.error(format!("{name}_CALL: {message}"));
                    None
                }
            });
            for one in [freeze, stop, call].into_iter().flatten() {
                if found.replace(one).is_some() {
                    args.error(format!(
                        "'{name}_FREEZE', '{name}_STOP', and '{name}_CALL' are mutually exclusive"
                    ));
                }
            }
            found
        };
        let after = [after("AGGREGATE", "AGG"), after("COUNT", "COUNT")];
        let from_ip = args.key("IP_BYTES").unwrap_or(false);
        Self {
            bytes: args.key("BYTES").unwrap_or(false) || from_ip,
            from_ip,
            many: args.key("MULTIPACKET").unwrap_or(true),
            extra: args.key("EXTRA_LENGTH").unwrap_or(true),
            frozen: false,
            active: true,
            counts: BTreeMap::new(),
            total: 0,
            after,
            banner: args.key("BANNER").unwrap_or_default(),
        }
    }

    /// Counts a packet; whether that was done.
    fn count(&mut self, packet: &mut Packet, frozen: bool) -> bool {
        if !self.active {
            return false;
        }
        let aggregate = AGGREGATE.get(packet);
        let amount = if self.bytes {
            let front = if self.from_ip { packet.network().unwrap_or(0) } else { 0 };
            let extra = if self.extra { EXTRA_LENGTH.get(packet) } else { 0 };
            (packet.len() - front) as u64 + u64::from(extra)
        } else if self.many {
            1 + u64::from(EXTRA_PACKETS.get(packet))
        } else {
            1
        };
        if frozen || self.frozen || self.counts.len() >= MOST {
            let Some(count) = self.counts.get_mut(&aggregate) else { return false };
            *count += amount;
        } else {
            *self.counts.entry(aggregate).or_default() += amount;
        }
        self.total += amount;
        true
    }

    #[cold]
    fn limit_reached(&mut self, cx: &mut Context<'_>, which: usize) {
        match self.after[which].take().map(|a| a.what) {
            Some(What::Freeze) => self.frozen = true,
            Some(What::Stop) => cx.stop(),
            Some(What::Call(call)) => call.write(cx),
            None => {}
        }
    }

    fn check(&mut self, cx: &mut Context<'_>) {
        for (which, now) in [self.counts.len() as u64, self.total].into_iter().enumerate() {
            if self.after[which].as_ref().is_some_and(|a| now >= a.at) {
                self.limit_reached(cx, which);
            }
        }
    }

    /// All counts as a file of a format: the handler that writes it.
    fn file(&self, format: &str) -> String {
        let end = if self.banner.is_empty() || self.banner.ends_with('\n') { "" } else { "\n" };
        let mut out = format!("!IPAggregate 1.0\n{}{end}!num_nonzero {}\n", self.banner, self.counts.len());
        let total = self.total as f64;
        match format {
            "write_file" => {
                out += if cfg!(target_endian = "little") { "!packed_le\n" } else { "!packed_be\n" };
                for (&aggregate, &count) in &self.counts {
                    let bytes = [aggregate, count as u32].map(u32::to_ne_bytes);
                    out.extend(bytes.concat().into_iter().map(crate::args::raw));
                }
            }
            "write_ip_file" => {
                out += "!ip\n";
                let address = |a: u32| crate::args::Ipv4(a.to_be_bytes());
                out.extend(self.counts.iter().map(|(&a, c)| format!("{} {c}\n", address(a))));
            }
            "write_pdf_file" => {
                let part = |c: u64| crate::decimal::general(c as f64 / total);
                out.extend(self.counts.iter().map(|(a, &c)| format!("{a} {}\n", part(c))));
            }
            _ => out += &self.lines(),
        }
        out
    }

    fn lines(&self) -> String {
        self.counts.iter().map(|(aggregate, count)| format!("{aggregate} {count}\n")).collect()
    }
}

impl Element for AggregateCounter {
    fn push(&mut self, cx: &mut Context<'_>, port: usize, mut batch: Batch) {
        let mut runs = Runs::new();
        let others = usize::from(cx.outputs() > 1);
        while let Some(mut packet) = batch.pop() {
            let to = if self.count(&mut packet, port == 1) { 0 } else { others };
            self.check(cx);
            runs.add(cx, to, packet);
        }
        runs.finish(cx);
    }

    fn owns_pull(&self) -> bool {
        true
    }

    fn pull(&mut self, cx: &mut Context<'_>, _: usize, most: usize) -> Batch {
        let mut batch = cx.pull(0, most);
        batch.each(|packet| {
            self.count(packet, false);
        });
        self.check(cx);
        batch
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        let call = |which: usize| match &self.after[which] {
            Some(After { what: What::Call(call), .. }) => call.to_string(),
            _ => String::new(),
        };
        Ok(match handler {
            "counts" => self.lines(),
            "nagg" => self.counts.len().to_string(),
            "count" => self.total.to_string(),
            "freeze" => self.frozen.to_string(),
            "active" => self.active.to_string(),
            "banner" => self.banner.clone(),
            "call_after_agg" | "aggregate_call" => call(0),
            _ => call(1),
        })
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        let after = |value: &str| -> Result<Option<After>, String> {
            if value.is_empty() {
                return Ok(None);
            }
            let call = call(value)?;
            Ok(Some(After { at: call.at, what: What::Call(call) }))
        };
        match handler {
            "freeze" => self.frozen = parse(cx, value)?,
            "active" => self.active = parse(cx, value)?,
            "banner" => self.banner = parse(cx, value)?,
            "call_after_agg" | "aggregate_call" => self.after[0] = after(value)?,
            "call_after_count" | "count_call" => self.after[1] = after(value)?,
            "reaggregate_counts" | "counts_pdf" => {
                let mut again = BTreeMap::new();
                for &count in self.counts.values() {
                    *again.entry(u32::try_from(count).unwrap_or(u32::MAX)).or_default() += 1;
                }
                self.total = again.values().sum();
                self.counts = again;
            }
            "stop" => {
                self.active = false;
                cx.stop();
            }
            "clear" => {
                self.counts.clear();
                self.total = 0;
            }
            format => {
                let text = self.file(format);
                match (cx.host.outside(), value) {
                    (Some(outside), "-") => outside.write_out(&text),
                    (Some(outside), file) => outside.write_file(file, false, &text)?,
                    (None, "-") => cx.host.print(&text),
                    (None, _) => return Err("there are no files here: write '-' to print".to_string()),
                }
            }
        }
        Ok(())
    }
}

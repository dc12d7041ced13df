use super::header;
use crate::args::{Args, Ipv4, Probability};
use crate::element::{Context, Element, Nanos, read, write};
use crate::elements::content::{FORWARD_RATE, REVERSE_RATE};
use crate::handlers::parse;
use crate::packet::{Batch, Packet};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};

/// Bytes that an address takes, about.
const ENTRY: usize = 128;
/// Time over which rates are averaged, and after which they are looked at again.
const SECOND: Nanos = 1_000_000_000;

crate::element! {
    /// Measures rates from and to IP addresses, with more detail where there is more traffic.
    ///
    /// Packets that come in by input 0 count for their source, those by input 1 for their destination; they leave by the
    /// output of that number. At first the first bytes of addresses are told apart; where a rate exceeds a threshold, the
    /// next byte too. The header is found by the IP header annotation.
    ///
    /// # Arguments
    /// `TYPE`: `PACKETS` or `BYTES`. `RATIO`: part of packets that are counted, from 0 to 1. `THRESH`: rate per second,
    /// as if all were counted. `MEMORY` (0): kilobytes for addresses, at least 100; 0: 2048. `ANNO` (true): set the
    /// packets' rate annotations, which `Block` reads.
    ///
    /// # Handlers
    /// `look`: hundredths of a second since the last reset, then addresses and the rates from and to them. `thresh`: the
    /// argument. `mem`: bytes in use. `reset`: forgets all rates. `anno_level`: `ADDRESS LEVEL SECONDS`: for so long, no
    /// more than LEVEL + 1 bytes of the addresses there are told apart.
    IPRateMonitor "1-2/=" "a/a"
    keywords ["TYPE", "RATIO", "THRESH", "MEMORY", "ANNO"]
    handlers [read("look"), read("thresh"), read("mem"), write("reset"), write("anno_level")]
    {
        packets: bool,
        ratio: u64,
        threshold: u64,
        most: usize,
        annotate: bool,
        /// By how many bytes of the address, and those bytes.
        rates: BTreeMap<(u8, u32), Entry>,
        reset: Nanos,
        tended: Nanos,
    }
}

/// Rates of the addresses that begin with some bytes.
#[derive(Clone, Default)]
struct Entry {
    rates: [Rate; 2],
    /// The next byte is told apart too.
    open: bool,
    /// It is not to be, until then.
    closed_until: Nanos,
}

#[derive(Clone, Copy, Default)]
struct Rate {
    average: f64,
    at: Nanos,
}

impl Rate {
    /// What arrives counts at once, and is forgotten over a second.
    fn add(&mut self, amount: f64, now: Nanos) {
        self.average = self.now(now) + amount;
        self.at = now;
    }

    fn now(&self, now: Nanos) -> f64 {
        let seconds = now.saturating_sub(self.at) as f64 / SECOND as f64;
        // A series that comes close enough to the exponential function, and never below 0.
        self.average / (1.0 + seconds + seconds * seconds / 2.0 + seconds * seconds * seconds / 6.0)
    }
}

impl IPRateMonitor {
    fn new(args: &mut Args<'_>) -> Self {
        let text: String = args.required("TYPE");
        if text != "PACKETS" && text != "BYTES" {
            args.error("monitor type should be \"PACKETS\" or \"BYTES\"");
        }
        let ratio = args.required::<Probability>("RATIO").0;
        if ratio == 0 {
            args.error("RATIO must be greater than 0");
        }
        let threshold = args.required("THRESH");
        let memory = match args.next("MEMORY").unwrap_or(0usize) {
            0 => 2048,
            kilobytes => kilobytes.clamp(100, 1 << 20),
        };
        Self {
            packets: text == "PACKETS",
            ratio: ratio.max(1),
            threshold,
            most: (memory << 10) / ENTRY,
            annotate: args.next("ANNO").unwrap_or(true),
            rates: BTreeMap::new(),
            reset: 0,
            tended: 0,
        }
    }

    fn see(&mut self, packet: &mut Packet, way: usize, counted: bool, now: Nanos) {
        let Some((_, h)) = header(packet) else { return };
        let address = u32::from_be_bytes(if way == 0 { h.source } else { h.destination });
        // Those that are counted stand for those that are not.
        let weight = (1u64 << 32) as f64 / self.ratio as f64;
        let amount = if self.packets { weight } else { h.total as f64 * weight };
        let mut rates = [0.0; 2];
        for level in 0..4u8 {
            let key = (level, address & u32::MAX << (24 - 8 * level));
            if !self.rates.contains_key(&key) && self.rates.len() >= self.most {
                break;
            }
            let entry = self.rates.entry(key).or_default();
            if counted {
                entry.rates[way].add(amount, now);
            }
            rates = entry.rates.map(|r| r.now(now));
            if !entry.open {
                let over = rates.iter().any(|&r| r >= self.threshold as f64);
                entry.open = over && level < 3 && now >= entry.closed_until;
                break;
            }
        }
        if self.annotate {
            FORWARD_RATE.set(packet, rates[0] as u32);
            REVERSE_RATE.set(packet, rates[1] as u32);
        }
    }

    /// Forgets what has become slow.
    #[cold]
    fn expire(&mut self, now: Nanos) {
        self.tended = now;
        let slow = |e: &Entry, most: f64| e.rates.iter().all(|r| r.now(now) < most);
        let threshold = self.threshold as f64;
        // In order, what is behind some bytes comes after all of their length: each sees what became of those in front.
        let mut gone = BTreeSet::new();
        for (key, entry) in &mut self.rates {
            let (level, prefix) = *key;
            let front = level.checked_sub(1).map(|l| (l, prefix & u32::MAX << (24 - 8 * l)));
            let forgotten = front.is_some_and(|front| gone.contains(&front));
            entry.open &= !forgotten && !slow(entry, threshold);
            if !entry.open {
                gone.insert(*key);
            }
        }
        self.rates.retain(|&(level, prefix), e| {
            let front = level.checked_sub(1).map(|l| (l, prefix & u32::MAX << (24 - 8 * l)));
            let forgotten = front.is_some_and(|front| gone.contains(&front));
            !forgotten && (e.open || e.closed_until > now || !slow(e, 0.01))
        });
    }

    /// Forgets everything behind some bytes of an address.
    fn close(&mut self, (level, prefix): (u8, u32)) {
        if let Some(entry) = self.rates.get_mut(&(level, prefix)) {
            entry.open = false;
        }
        let mask = u32::MAX << (24 - 8 * level);
        self.rates.retain(|k, _| k.0 <= level || k.1 & mask != prefix);
    }

    fn report(&self, now: Nanos) -> String {
        let mut out = format!("{}\n", now.saturating_sub(self.reset) / 10_000_000);
        for ((level, prefix), entry) in &self.rates {
            let bytes = prefix.to_be_bytes();
            let part =
                |i: usize| if i <= usize::from(*level) { bytes[i].to_string() } else { "*".to_string() };
            let rates = entry.rates.map(|r| r.now(now) as u64);
            out += &format!("{}.{}.{}.{}\t{}\t{}\n", part(0), part(1), part(2), part(3), rates[0], rates[1]);
        }
        out
    }
}

impl Element for IPRateMonitor {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        (self.reset, self.tended) = (cx.now(), cx.now());
        Ok(())
    }

    fn push(&mut self, cx: &mut Context<'_>, port: usize, mut batch: Batch) {
        let now = cx.now();
        if now.saturating_sub(self.tended) >= SECOND {
            self.expire(now);
        }
        batch.each(|packet| {
            let counted = self.ratio >= 1 << 32 || cx.random() >> 32 < self.ratio;
            self.see(packet, port, counted, now);
        });
        cx.output(port, batch);
    }

    fn owns_pull(&self) -> bool {
        true
    }

    fn pull(&mut self, cx: &mut Context<'_>, port: usize, most: usize) -> Batch {
        let mut batch = cx.pull(port, most);
        let now = cx.now();
        batch.each(|packet| self.see(packet, port, true, now));
        batch
    }

    fn read(&mut self, cx: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(match handler {
            "look" => self.report(cx.now()),
            "thresh" => self.threshold.to_string(),
            _ => (self.rates.len() * ENTRY).to_string(),
        })
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        if handler == "reset" {
            self.rates.clear();
            self.reset = cx.now();
            return Ok(());
        }
        let words: alloc::vec::Vec<&str> = value.split_whitespace().collect();
        let [address, level, seconds] = words[..] else {
            return Err("expected 'ADDRESS LEVEL SECONDS'".into());
        };
        let address = u32::from_be_bytes(parse::<Ipv4>(cx, address)?.0);
        let (level, seconds): (u8, u32) = (parse(cx, level)?, parse(cx, seconds)?);
        if level > 3 {
            return Err("LEVEL: expected a number from 0 to 3".into());
        }
        let key = (level, address & u32::MAX << (24 - 8 * level));
        self.close(key);
        if let Some(entry) = self.rates.get_mut(&key) {
            entry.closed_until = cx.now().saturating_add(u64::from(seconds) * SECOND);
        }
        Ok(())
    }
}

use crate::args::Args;
use crate::element::{Context, Element, read, write};
use crate::elements::content::{AGGREGATE, Anno32, annotation_of};
use crate::packet::Batch;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};

/// Most pairs of aggregate and packet number that are counted.
const MOST: usize = 1 << 20;

crate::element! {
    /// Counts packets by aggregate and packet number, for each input by itself.
    ///
    /// A packet leaves by the output of its input's number. A million pairs of aggregate and number are counted at the most,
    /// and no packets of aggregate 0.
    ///
    /// # Arguments
    /// `ANNO` (PACKET_NUMBER): the annotation with the number, or NONE. `NOTIFIER` is accepted.
    ///
    /// # Handlers
    /// `count`: packets counted. `received`: with an aggregate, the numbers of its packets. `undelivered`: with an
    /// aggregate, the numbers that came more often to input 0 than to input 1. `clear`: forgets all.
    AggregatePacketCounter "1-/1-" "#/#"
    keywords ["ANNO", "NOTIFIER"]
    handlers [read("count"), read("received"), read("undelivered"), write("clear")]
    { number: Option<Anno32>, counts: BTreeMap<(u32, u32), BTreeMap<usize, u32>> }
}

impl AggregatePacketCounter {
    fn new(args: &mut Args<'_>) -> Self {
        let name = args.key("ANNO").unwrap_or_else(|| "PACKET_NUMBER".to_string());
        args.ignored("NOTIFIER");
        let number =
            if name == "NONE" { None } else { annotation_of(args, "ANNO", name).and_then(Anno32::at) };
        Self { number, counts: BTreeMap::new() }
    }

    fn count(&mut self, port: usize, batch: &mut Batch) {
        batch.each(|packet| {
            let aggregate = AGGREGATE.get(packet);
            let number = self.number.map_or(0, |number| number.get(packet));
            if aggregate == 0
                || (self.counts.len() >= MOST && !self.counts.contains_key(&(aggregate, number)))
            {
                return;
            }
            let ports = self.counts.entry((aggregate, number)).or_default();
            let count = ports.entry(port).or_default();
            *count = count.saturating_add(1);
        });
    }
}

impl Element for AggregatePacketCounter {
    fn push(&mut self, cx: &mut Context<'_>, port: usize, mut batch: Batch) {
        self.count(port, &mut batch);
        cx.output(port, batch);
    }

    fn owns_pull(&self) -> bool {
        true
    }

    fn pull(&mut self, cx: &mut Context<'_>, port: usize, most: usize) -> Batch {
        let mut batch = cx.pull(port, most);
        self.count(port, &mut batch);
        batch
    }

    fn read(&mut self, cx: &mut Context<'_>, handler: &str, argument: &str) -> Result<String, String> {
        if handler == "count" {
            let count: u64 = self.counts.values().flat_map(BTreeMap::values).map(|&n| u64::from(n)).sum();
            return Ok(count.to_string());
        }
        let aggregate: u32 = match argument {
            "" => 0,
            text => text.trim().parse().map_err(|_| "argument should be aggregate number".to_string())?,
        };
        let missing = handler == "undelivered";
        if missing && cx.inputs() < 2 {
            return Err("there is no input 1".to_string());
        }
        let numbers = self.counts.range((aggregate, 0)..=(aggregate, u32::MAX));
        let of = |ports: &BTreeMap<usize, u32>, port: usize| ports.get(&port).copied().unwrap_or(0);
        let listed = numbers.filter(|(_, ports)| !missing || of(ports, 0) > of(ports, 1));
        Ok(listed.map(|((_, number), _)| format!("{number}\n")).collect())
    }

    fn write(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<(), String> {
        self.counts.clear();
        Ok(())
    }
}

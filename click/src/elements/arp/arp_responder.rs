use crate::args::{Args, Ethernet, Names, Prefix, mask};
use crate::element::{Context, Element, read, write};
use crate::headers::{ARP_FRAME, ARP_REPLY, ARP_REQUEST, Arp};
use crate::packet::{Batch, Packet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

crate::element! {
    /// Answers ARP requests.
    ///
    /// Packets that are no requests for its addresses go out of output 1, or are dropped if it is not there.
    ///
    /// # Arguments
    /// Each: `ADDRESS[/MASK] ... ETH`: IP addresses and the Ethernet address to answer with, or the `NAME` of both. An
    /// IP address without an Ethernet address has that of a later argument. The longest prefix wins. A warning is printed
    /// when one is given twice; the last counts.
    ///
    /// # Handlers
    /// `table`: addresses. `lookup ADDRESS`: the Ethernet address for an IP address. `add`: as an argument.
    /// `remove PREFIX`.
    ARPResponder "1/1-2" "a/ah"
    handlers [read("table"), read("lookup"), write("add"), write("remove")]
    {
        entries: Vec<(Prefix, Ethernet)>,
        /// Prefixes that the arguments have twice.
        twice: Vec<Prefix>,
    }
}

/// IP prefixes and the Ethernet address of one argument, if there is one.
fn entry(text: &str, names: &Names) -> Result<(Vec<Prefix>, Option<Ethernet>), String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let prefix = |word: &str| {
        // A device's name is its address here, not its network.
        let one = names.ipv4(word).map(|a| Prefix(a, 32));
        one.or_else(|| names.prefix(word).map(|(a, l)| Prefix(a, l)))
            .ok_or_else(|| format!("expected an IP address, not '{word}'"))
    };
    match words[..] {
        [] => Err("empty entry".to_string()),
        [name] => Ok((alloc::vec![prefix(name)?], names.ethernet(name).map(Ethernet))),
        [ref addresses @ .., last] => match names.ethernet(last) {
            Some(mac) => {
                Ok((addresses.iter().map(|w| prefix(w)).collect::<Result<_, _>>()?, Some(Ethernet(mac))))
            }
            None => Ok((words.iter().map(|w| prefix(w)).collect::<Result<_, _>>()?, None)),
        },
    }
}

impl ARPResponder {
    fn new(args: &mut Args<'_>) -> Self {
        let mut new = Self { entries: Vec::new(), twice: Vec::new() };
        let mut waiting: Vec<Prefix> = Vec::new();
        let words = args.rest();
        for word in &words {
            match entry(&word.text, args.names) {
                Ok((prefixes, mac)) => {
                    waiting.extend(prefixes);
                    if let Some(mac) = mac {
                        for prefix in waiting.drain(..) {
                            if new.insert(prefix, mac) && !new.twice.contains(&prefix) {
                                new.twice.push(prefix);
                            }
                        }
                    }
                }
                Err(message) => args.error_in(word, message),
            }
        }
        if let (Some(_), Some(word)) = (waiting.first(), words.last()) {
            args.error_in(word, "missing Ethernet address");
        }
        new
    }

    /// Adds an entry; whether it took the place of another.
    fn insert(&mut self, prefix: Prefix, mac: Ethernet) -> bool {
        let before = self.entries.len();
        self.entries.retain(|e| e.0 != prefix);
        let replaced = self.entries.len() < before;
        let place = self.entries.partition_point(|e| e.0.1 >= prefix.1);
        self.entries.insert(place, (prefix, mac));
        replaced
    }

    fn lookup(&self, address: [u8; 4]) -> Option<Ethernet> {
        self.entries.iter().find(|(p, _)| mask(address, p.1) == p.0).map(|e| e.1)
    }

    /// Makes a request its own answer.
    fn answer(&self, packet: &mut Packet) -> bool {
        let Some(arp) = Arp::read(packet.data()).filter(|a| a.operation == ARP_REQUEST) else { return false };
        let Some(Ethernet(mac)) = self.lookup(arp.target.1) else { return false };
        let reply = Arp { operation: ARP_REPLY, sender: (mac, arp.target.1), target: arp.sender };
        packet.truncate(ARP_FRAME);
        packet.set_timestamp(0);
        packet.data_mut().copy_from_slice(&reply.frame(arp.sender.0));
        true
    }
}

impl Element for ARPResponder {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        for prefix in core::mem::take(&mut self.twice) {
            let name = cx.name();
            cx.print(&format!(
                "While configuring '{name} :: ARPResponder':\n  warning: multiple entries for {prefix}"
            ));
        }
        Ok(())
    }

    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let others = batch.partition(|packet| self.answer(packet));
        cx.output(1, others);
    }

    fn read(&mut self, cx: &mut Context<'_>, handler: &str, argument: &str) -> Result<String, String> {
        if handler == "table" {
            return Ok(self.entries.iter().map(|(p, mac)| format!("{p} {mac}\n")).collect());
        }
        let address =
            cx.names().ipv4(argument).ok_or_else(|| format!("expected an IP address, not '{argument}'"))?;
        Ok(self.lookup(address).map_or(String::new(), |mac| mac.to_string()))
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        if handler == "add" {
            let (prefixes, mac) = entry(value, cx.names())?;
            let mac = mac.ok_or("missing Ethernet address")?;
            for prefix in prefixes {
                self.insert(prefix, mac);
            }
            return Ok(());
        }
        let (address, length) =
            cx.names().prefix(value).ok_or_else(|| format!("expected an IP prefix, not '{value}'"))?;
        let before = self.entries.len();
        self.entries.retain(|e| e.0 != Prefix(address, length));
        if self.entries.len() == before { Err(format!("no entry for '{value}'")) } else { Ok(()) }
    }
}

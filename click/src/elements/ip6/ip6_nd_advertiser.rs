use super::neighbour::{ADVERTISEMENT, FRAME, Message, SOLICITATION, ethernet_group};
use crate::args::{Args, Argument, Ethernet, Names, Prefix6};
use crate::element::{Context, Element, read, write};
use crate::packet::{Batch, Packet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

crate::element! {
    /// Answers IPv6 neighbour solicitations.
    ///
    /// Frames that are none for its addresses go out of output 1, or are dropped if it is not there.
    ///
    /// # Arguments
    /// Each: `ADDRESS[/LENGTH] ... ETH`: IPv6 addresses and the Ethernet address to answer with. The longest prefix wins.
    ///
    /// # Handlers
    /// `table`: addresses. `add`: as an argument.
    IP6NDAdvertiser "1/1-2" "a/ah"
    handlers [read("table"), write("add")]
    { entries: Vec<(Prefix6, Ethernet)> }
}

fn entries(text: &str, names: &Names) -> Result<Vec<(Prefix6, Ethernet)>, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [addresses @ .., mac] = &words[..] else { return Err("empty entry".to_string()) };
    let mac =
        Ethernet::parse(mac, names).ok_or_else(|| format!("expected an Ethernet address, not '{mac}'"))?;
    if addresses.is_empty() {
        return Err(format!("expected 'ADDRESS[/LENGTH] ... ETH', not '{text}'"));
    }
    let prefix = |word: &&str| {
        Prefix6::parse(word, names)
            .map(|p| (p, mac))
            .ok_or_else(|| format!("expected an IPv6 address, not '{word}'"))
    };
    addresses.iter().map(prefix).collect()
}

impl IP6NDAdvertiser {
    fn new(args: &mut Args<'_>) -> Self {
        let mut new = Self { entries: Vec::new() };
        for word in args.rest() {
            match entries(&word.text, args.names) {
                Ok(entries) => new.add(entries),
                Err(message) => args.error_in(&word, message),
            }
        }
        new
    }

    fn add(&mut self, entries: Vec<(Prefix6, Ethernet)>) {
        for entry in entries {
            self.entries.retain(|e| e.0 != entry.0);
            let place = self.entries.partition_point(|e| e.0.1 >= entry.0.1);
            self.entries.insert(place, entry);
        }
    }

    /// Makes a solicitation its own answer.
    fn answer(&self, packet: &mut Packet) -> bool {
        let Some(asked) = Message::read(packet.data()).filter(|m| m.kind == SOLICITATION) else {
            return false;
        };
        let found = self.entries.iter().find(|e| e.0.contains(asked.target));
        let Some(&(_, Ethernet(mac))) = found else { return false };
        let target = asked.target;
        // Who has no address yet is told together with all others (section 7.2.4).
        let (to, destination, flags) = match (asked.source, asked.address) {
            ([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], _) => {
                let all = [255, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
                (ethernet_group(all), all, 0x20)
            }
            (source, Some(address)) => (address, source, 0x60),
            (source, None) => (core::array::from_fn(|i| packet.data()[6 + i]), source, 0x60),
        };
        let answer = Message { kind: ADVERTISEMENT, source: target, destination, target, address: Some(mac) };
        packet.truncate(FRAME);
        if packet.put(FRAME - packet.len()).is_none() {
            return false;
        }
        packet.data_mut().copy_from_slice(&answer.frame(mac, to, flags));
        true
    }
}

impl Element for IP6NDAdvertiser {
    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let others = batch.partition(|packet| self.answer(packet));
        cx.output(1, others);
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(self.entries.iter().map(|(p, mac)| format!("{p}\t{mac}\n")).collect())
    }

    fn write(&mut self, cx: &mut Context<'_>, _: &str, value: &str) -> Result<(), String> {
        self.add(entries(value, cx.names())?);
        Ok(())
    }
}

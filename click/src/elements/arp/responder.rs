use crate::args::{Args, mask_bits};
use crate::batch::Batch;
use crate::element::{Class, Context, Element, Handler, read, read_write, write};
use crate::elements::boxed;
use crate::elements::ether::encap::words;
use crate::headers::{ETHERNET, ETHERTYPE_ARP, ETHERTYPE_IPV4, be16, four, write_ethernet};
use crate::packet::Packet;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Answers ARP requests (RFC 826) for addresses. What is not answered goes to output 1, if it is connected.
///
/// Arguments: `ADDRESS[/MASK] ... ETH` each: addresses and the Ethernet address to answer with, or a name that has both
/// (`eth0`). Input 0: ARP requests with their Ethernet header; output 0: answers. Handlers: `table` (read), `lookup`
/// (write an address, read the answer), `add`, `remove` (write).
#[derive(Debug)]
pub struct ARPResponder {
    entries: Vec<Entry>,
    answer: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    network: u32,
    length: u8,
    mac: [u8; 6],
}

/// The class.
pub const CLASS: Class =
    Class { name: "ARPResponder", ports: "1/1-2", processing: "a/ah", keywords: &[], make };

/// Bytes of an Ethernet ARP packet with its header.
pub const ARP: usize = ETHERNET + 28;

fn make(args: &mut Args<'_>) -> Box<dyn Element> {
    let mut entries = Vec::new();
    for text in args.rest() {
        match parse(&text, args.names) {
            Ok(more) => entries.extend(more),
            Err(message) => args.error(message),
        }
    }
    sort(&mut entries);
    boxed(ARPResponder { entries, answer: String::new() })
}

/// The longest prefix first.
fn sort(entries: &mut [Entry]) {
    entries.sort_by_key(|e| core::cmp::Reverse(e.length));
}

fn parse(text: &str, names: &crate::args::Names) -> Result<Vec<Entry>, String> {
    let all: Vec<&str> = text.split_whitespace().collect();
    let mac = all.iter().rev().find_map(|w| names.ethernet(w)).ok_or(format!("'{text}' has no Ethernet address"))?;
    let mut entries = Vec::new();
    for word in &all {
        let last_of_several = all.len() > 1 && core::ptr::eq(*word, all[all.len() - 1]);
        match names.prefix(word) {
            Some((network, length)) if !last_of_several => {
                entries.push(Entry { network: u32::from_be_bytes(network), length, mac });
            }
            None if names.ethernet(word).is_none() => return Err(format!("'{word}' is not an address")),
            _ => {}
        }
    }
    if entries.is_empty() { Err(format!("'{text}' has no IP address")) } else { Ok(entries) }
}

/// Makes an ARP packet with its Ethernet header (RFC 826).
pub fn arp_packet(
    cx: &mut Context<'_>,
    operation: u16,
    (sender, sender_ip): ([u8; 6], [u8; 4]),
    (target, target_ip): ([u8; 6], [u8; 4]),
    to: [u8; 6],
) -> Option<Packet> {
    let mut packet = cx.packet(&[0; ARP])?;
    let data = packet.data_mut();
    write_ethernet(data, to, sender, ETHERTYPE_ARP);
    data[14..16].copy_from_slice(&1u16.to_be_bytes());
    data[16..18].copy_from_slice(&ETHERTYPE_IPV4.to_be_bytes());
    (data[18], data[19]) = (6, 4);
    data[20..22].copy_from_slice(&operation.to_be_bytes());
    data[22..28].copy_from_slice(&sender);
    data[28..32].copy_from_slice(&sender_ip);
    data[32..38].copy_from_slice(&target);
    data[38..42].copy_from_slice(&target_ip);
    Some(packet)
}

/// Operation, sender and target of an Ethernet ARP packet for IPv4.
#[allow(clippy::type_complexity)]
pub fn read_arp(data: &[u8]) -> Option<(u16, ([u8; 6], [u8; 4]), [u8; 4])> {
    let fixed = data.get(12..20)? == [8, 6, 0, 1, 8, 0, 6, 4];
    let sender: [u8; 6] = data.get(22..28)?.try_into().ok()?;
    fixed.then_some((be16(data, 20)?, (sender, four(data, 28)?), four(data, 38)?))
}

impl ARPResponder {
    fn find(&self, address: [u8; 4]) -> Option<[u8; 6]> {
        let address = u32::from_be_bytes(address);
        self.entries.iter().find(|e| address & mask_bits(e.length) == e.network).map(|e| e.mac)
    }
}

impl Element for ARPResponder {
    fn act(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let (mut answers, mut other) = (Batch::new(), Batch::new());
        for packet in batch.drain() {
            let answer = read_arp(packet.data()).filter(|a| a.0 == 1).and_then(|(_, sender, target)| {
                let mac = self.find(target)?;
                arp_packet(cx, 2, (mac, target), sender, sender.0)
            });
            match answer {
                Some(answer) => {
                    answers.push(answer);
                    cx.kill_one(packet);
                }
                None => other.push(packet),
            }
        }
        cx.output(1, other);
        *batch = answers;
    }

    fn handlers(&self) -> &'static [Handler] {
        &[read("table"), read_write("lookup"), write("add"), write("remove")]
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str) -> String {
        if handler == "lookup" {
            return self.answer.clone();
        }
        let line = |e: &Entry| {
            format!("{}/{} {}\n", core::net::Ipv4Addr::from(e.network), e.length, words(e.mac))
        };
        self.entries.iter().map(line).collect()
    }

    fn write(&mut self, _: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        let names = crate::args::Names::default();
        match handler {
            "lookup" => {
                let address = names.ipv4(value).ok_or("expected an IP address")?;
                self.answer = self.find(address).map_or(String::new(), words);
            }
            "add" => {
                self.entries.extend(parse(value, &names)?);
                sort(&mut self.entries);
            }
            _ => {
                let (network, length) = names.prefix(value).ok_or("expected an IP prefix")?;
                let network = u32::from_be_bytes(network);
                let before = self.entries.len();
                self.entries.retain(|e| (e.network, e.length) != (network, length));
                if self.entries.len() == before {
                    return Err(format!("no entry for {value}"));
                }
            }
        }
        Ok(())
    }
}

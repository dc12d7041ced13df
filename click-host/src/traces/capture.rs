//! Packet captures: pcap files of either byte order and both resolutions, and pcapng, whole or compressed, from a file
//! or standard input.

use crate::files::reason;
use click::{Batch, Packet};
use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionOption;
use pcap_file::pcapng::{Block, PcapNgReader};
use pcap_file::{DataLink, PcapError};
use std::fs::File;
use std::io::{self, BufReader, Cursor, ErrorKind, Read};
use std::ops::Range;
use std::process::{Child, Command, Stdio};

/// How pcapng files begin.
const NEXT_GENERATION: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
/// How compressed files begin, and what reads them.
const COMPRESSED: &[(&[u8], &str)] =
    &[(&[0x1f, 0x8b], "gzip"), (b"BZh", "bzip2"), (&[0xfd, b'7', b'z'], "xz")];
/// Resolution of a pcapng interface that does not say: microseconds.
const MICROSECONDS: u8 = 6;
/// Size of the blocks of a file that are read at once.
const CHUNK: usize = 64 << 10;
/// Bytes of a pcap file that are at hand: many ordinary records, which stay in the processor's second cache until they are
/// packets. A longer record gets more.
const BUFFER: usize = 256 << 10;

/// One packet of a capture.
#[derive(Debug)]
pub struct Record {
    /// Nanoseconds since 1970; 0: unknown.
    pub time: u64,
    /// Bytes that it had on the wire.
    pub wire: usize,
    /// Kind of its link layer, as in the list of tcpdump.org.
    pub link: u32,
    /// What of it was kept; none: the heap has no room.
    pub packet: Option<Packet>,
}

enum Format {
    Classic(Classic),
    NextGeneration(Box<PcapNgReader<Box<dyn Read + Send>>>),
}

/// A capture that is read.
pub struct Capture {
    format: Format,
    /// What decompresses the file.
    helper: Option<Child>,
}

impl Drop for Capture {
    fn drop(&mut self) {
        if let Some(helper) = &mut self.helper {
            // It may have ended by itself.
            let _ = helper.kill();
            let _ = helper.wait();
        }
    }
}

/// A file's bytes, decompressed if they have to be; `-` is standard input. Of those that were looked at first, what
/// came.
pub fn open_bytes(name: &str) -> Result<(Box<dyn Read + Send>, Option<Child>), String> {
    let said = |e: std::io::Error| format!("{name}: {}", reason(&e));
    if name == "-" {
        return Ok((Box::new(std::io::stdin()), None));
    }
    let mut file = File::open(name).map_err(said)?;
    let mut start = [0; 4];
    let n = read_start(&mut file, &mut start).map_err(said)?;
    let packed = COMPRESSED.iter().find(|(magic, _)| start[..n].starts_with(magic));
    match packed {
        Some((_, program)) => {
            let file = File::open(name).map_err(said)?;
            let started = Command::new(program).arg("-dc").stdin(file).stdout(Stdio::piped()).spawn();
            let mut child = started.map_err(|e| format!("{name}: {program}: {}", reason(&e)))?;
            let out = child.stdout.take().ok_or_else(|| format!("{name}: {program} gives nothing"))?;
            Ok((Box::new(BufReader::with_capacity(CHUNK, out)), Some(child)))
        }
        None => {
            let whole = Cursor::new(start[..n].to_vec()).chain(file);
            Ok((Box::new(BufReader::with_capacity(CHUNK, whole)), None))
        }
    }
}

/// Reads as much of the buffer as there is.
fn read_start(from: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut n = 0;
    while n < buffer.len() {
        match from.read(&mut buffer[n..]) {
            Ok(0) => break,
            Ok(more) => n += more,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(n)
}

fn describe(error: &PcapError) -> String {
    match error {
        PcapError::IoError(e) => reason(e),
        PcapError::IncompleteBuffer => "ends in the middle of a packet".to_string(),
        other => other.to_string(),
    }
}

impl Capture {
    /// Opens a file.
    pub fn open(name: &str) -> Result<Self, String> {
        let (mut bytes, helper) = open_bytes(name)?;
        let mut start = [0; 4];
        let n = read_start(&mut bytes, &mut start).map_err(|e| format!("{name}: {}", reason(&e)))?;
        let whole: Box<dyn Read + Send> = Box::new(Cursor::new(start[..n].to_vec()).chain(bytes));
        let format = if start == NEXT_GENERATION {
            PcapNgReader::new(whole).map(|r| Format::NextGeneration(Box::new(r)))
        } else {
            Classic::new(whole).map(Format::Classic)
        };
        let format = format.map_err(|e| format!("{name}: not a tcpdump file ({})", describe(&e)))?;
        Ok(Self { format, helper })
    }

    /// The kind of the link layer, if the whole file has one.
    pub fn link(&self) -> Option<u32> {
        match &self.format {
            Format::Classic(reader) => Some(reader.link),
            Format::NextGeneration(reader) => reader.interfaces().first().map(|i| i.linktype.into()),
        }
    }

    /// Packets that can be had without reading more, at most so many; `note` is told each one's time, and its bytes on the
    /// wire. There may be more when there are none.
    pub fn buffered(&mut self, most: usize, note: impl Fn(&mut Packet, u64, usize)) -> Batch {
        match &mut self.format {
            Format::Classic(reader) => reader.buffered(most, note),
            Format::NextGeneration(_) => Batch::new(),
        }
    }

    /// The next packet; none: the file has ended.
    #[inline]
    pub fn next(&mut self) -> Option<Result<Record, String>> {
        match &mut self.format {
            Format::Classic(reader) => reader.next(),
            Format::NextGeneration(reader) => next_block(reader),
        }
    }
}

/// Longest record: more than any snapshot that tcpdump takes.
const LONGEST: usize = 1 << 18;
/// Bytes of a record's header, and of the file's.
const RECORD: usize = 16;
const HEADER: usize = 24;

/// A record's header.
struct Header {
    time: u64,
    /// Bytes that follow, and that were on the wire.
    length: usize,
    wire: usize,
}

/// A pcap file, whose packets are made of the bytes where they were read.
struct Classic {
    file: Box<dyn Read + Send>,
    /// What was read, and which of it is still to come.
    buffer: Vec<u8>,
    rest: Range<usize>,
    big_endian: bool,
    /// Nanoseconds of a time's fraction.
    unit: u64,
    link: u32,
}

impl Classic {
    fn new(file: Box<dyn Read + Send>) -> Result<Self, PcapError> {
        let buffer = vec![0; BUFFER];
        let mut new = Self { file, buffer, rest: 0..0, big_endian: false, unit: 1000, link: 0 };
        if !new.fill(HEADER).map_err(PcapError::IoError)? {
            return Err(PcapError::IncompleteBuffer);
        }
        (new.big_endian, new.unit) = match new.buffer[..4] {
            [0xa1, 0xb2, 0xc3, 0xd4] => (true, 1000),
            [0xd4, 0xc3, 0xb2, 0xa1] => (false, 1000),
            [0xa1, 0xb2, 0x3c, 0x4d] => (true, 1),
            [0x4d, 0x3c, 0xb2, 0xa1] => (false, 1),
            _ => return Err(PcapError::InvalidField("PcapHeader: wrong magic number")),
        };
        [_, _, _, _, _, new.link] = new.words();
        new.rest.start += HEADER;
        Ok(new)
    }

    /// The words that come next, if they are there.
    #[inline]
    fn words<const N: usize>(&self) -> [u32; N] {
        let mut words = [0; N];
        let bytes = self.buffer[self.rest.clone()].chunks_exact(4);
        for (word, bytes) in words.iter_mut().zip(bytes) {
            let bytes = [bytes[0], bytes[1], bytes[2], bytes[3]];
            *word = if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
        }
        words
    }

    /// Sees to it that so many bytes are there; `false`: the file ends before.
    #[inline]
    fn fill(&mut self, n: usize) -> io::Result<bool> {
        if self.rest.len() >= n { Ok(true) } else { self.read(n) }
    }

    #[cold]
    fn read(&mut self, n: usize) -> io::Result<bool> {
        self.buffer.copy_within(self.rest.clone(), 0);
        self.rest = 0..self.rest.len();
        if n > self.buffer.len() {
            self.buffer.resize(n, 0);
        }
        while self.rest.len() < n {
            match self.file.read(&mut self.buffer[self.rest.end..]) {
                Ok(0) => return Ok(false),
                Ok(more) => self.rest.end += more,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }

    #[inline]
    fn header(&self) -> Header {
        let [seconds, fraction, length, wire] = self.words();
        let time = u64::from(seconds) * 1_000_000_000 + u64::from(fraction) * self.unit;
        Header { time, length: length as usize, wire: wire as usize }
    }

    /// Packets of records that are at hand as a whole, at most so many, and what each had on the wire by `note`.
    fn buffered(&mut self, most: usize, note: impl Fn(&mut Packet, u64, usize)) -> Batch {
        let mut batch = Batch::empty_packets(if self.rest.len() < RECORD { 0 } else { most });
        batch.retain_or_else(
            |packet| {
                let Header { time, length, wire } = self.header();
                let record = self.rest.start.checked_add(RECORD + length);
                let Some(end) = record.filter(|&end| length <= LONGEST && end <= self.rest.end) else {
                    return false;
                };
                let bytes = &self.buffer[self.rest.start + RECORD..end];
                if packet.put_slice(bytes).is_none() {
                    return false;
                }
                self.rest.start = end;
                note(packet, time, wire);
                true
            },
            drop,
        );
        batch
    }

    /// What comes next, or why it cannot be read; nothing follows that.
    #[inline]
    fn next(&mut self) -> Option<Result<Record, String>> {
        let broken = |classic: &mut Self, error: PcapError| {
            classic.rest = 0..0;
            classic.file = Box::new(io::empty());
            Some(Err(describe(&error)))
        };
        match self.fill(RECORD) {
            Ok(true) => {}
            Ok(false) if self.rest.is_empty() => return None,
            Ok(false) => return broken(self, PcapError::IncompleteBuffer),
            Err(e) => return broken(self, PcapError::IoError(e)),
        }
        let Header { time, length, wire } = self.header();
        if length > LONGEST {
            return broken(self, PcapError::InvalidField("PacketHeader incl_len is too long"));
        }
        match self.fill(RECORD + length) {
            Ok(true) => {}
            Ok(false) => return broken(self, PcapError::IncompleteBuffer),
            Err(e) => return broken(self, PcapError::IoError(e)),
        }
        let from = self.rest.start + RECORD;
        self.rest.start = from + length;
        let packet = Packet::from_bytes(&self.buffer[from..from + length]);
        Some(Ok(Record { time, wire, link: self.link, packet }))
    }
}

fn next_block(reader: &mut PcapNgReader<Box<dyn Read + Send>>) -> Option<Result<Record, String>> {
    loop {
        let (units, interface, wire, data) = match reader.next_block()? {
            Err(e) => return Some(Err(describe(&e))),
            // The library takes the file's units for nanoseconds.
            Ok(Block::EnhancedPacket(p)) => {
                let units = u64::try_from(p.timestamp.as_nanos()).unwrap_or(0);
                (units, p.interface_id as usize, p.original_len, p.data.into_owned())
            }
            Ok(Block::Packet(p)) => {
                (p.timestamp, usize::from(p.interface_id), p.original_len, p.data.into_owned())
            }
            Ok(Block::SimplePacket(p)) => {
                let mut data = p.data.into_owned();
                data.truncate(p.original_len as usize);
                (0, 0, p.original_len, data)
            }
            Ok(_) => continue,
        };
        let Some(interface) = reader.interfaces().get(interface) else {
            return Some(Err(format!("a packet of interface {interface}, which there is not")));
        };
        let resolution = interface.options.iter().find_map(|option| match option {
            InterfaceDescriptionOption::IfTsResol(r) => Some(*r),
            _ => None,
        });
        let time = nanoseconds(units, resolution.unwrap_or(MICROSECONDS));
        let link = interface.linktype;
        let packet = Packet::from_bytes(&data);
        return Some(Ok(Record { time, wire: wire as usize, link: link.into(), packet }));
    }
}

/// A pcapng time in nanoseconds: the resolution is a negative power of ten, or of two with its highest bit set.
fn nanoseconds(units: u64, resolution: u8) -> u64 {
    let per_second = match resolution & 0x80 {
        0 => 10u128.checked_pow(resolution.into()),
        _ => 1u128.checked_shl((resolution & 0x7f).into()).filter(|&p| p != 0),
    };
    let time = per_second.and_then(|p| Some(u128::from(units).checked_mul(1_000_000_000)? / p));
    time.and_then(|t| u64::try_from(t).ok()).unwrap_or(0)
}

/// Bytes in front of the network header, and the Ethernet type behind them, of a packet of a link layer. `None`: the link
/// layer is unknown, or the packet too short.
pub fn network(link: u32, data: &[u8]) -> Option<(usize, u16)> {
    let kind = |at: usize| data.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]]));
    let version = |at: usize| match data.get(at)? >> 4 {
        4 => Some((at, 0x0800)),
        6 => Some((at, 0x86dd)),
        _ => None,
    };
    match DataLink::from(link) {
        DataLink::ETHERNET => match kind(12)? {
            0x8100 | 0x88a8 => Some((18, kind(16)?)),
            other => Some((14, other)),
        },
        DataLink::RAW | DataLink::IPV4 | DataLink::IPV6 => version(0),
        DataLink::LINUX_SLL => Some((16, kind(14)?)),
        DataLink::LINUX_SLL2 => Some((20, kind(0)?)),
        DataLink::NULL | DataLink::LOOP => version(4),
        // Some systems number raw IP otherwise.
        _ if link == 12 || link == 14 => version(0),
        _ => None,
    }
}

/// Names of link layers, and their numbers.
pub const LINKS: &[(&str, u32)] = &[("ETHER", 1), ("IP", 101), ("SLL", 113), ("SLL2", 276), ("NULL", 0)];

/// The name of a link layer.
pub fn link_name(link: u32) -> String {
    let link = if link == 12 || link == 14 { 101 } else { link };
    LINKS.iter().find(|l| l.1 == link).map_or_else(|| link.to_string(), |l| l.0.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_any_resolution_are_nanoseconds() {
        assert_eq!(nanoseconds(1_500_000, 6), 1_500_000_000);
        assert_eq!(nanoseconds(7, 9), 7);
        assert_eq!(nanoseconds(3, 0x81), 1_500_000_000);
        assert_eq!((nanoseconds(1, 127), nanoseconds(1, 0xff)), (0, 0));
    }

    #[test]
    fn the_network_header_is_found_behind_each_link_layer() {
        let ethernet = [[0; 12].as_slice(), &[0x08, 0x00], &[0x45]].concat();
        assert_eq!(network(1, &ethernet), Some((14, 0x0800)));
        assert_eq!(network(101, &[0x60]), Some((0, 0x86dd)));
        assert_eq!(network(0, &[2, 0, 0, 0, 0x45]), Some((4, 0x0800)));
        assert_eq!(network(1, &[0; 5]), None);
        assert_eq!(network(147, &ethernet), None);
    }
}

use super::capture::LINKS;
use crate::files::reason;
use click::args::Args;
use click::element::{Context, Element, read, write};
use click::elements::content::EXTRA_LENGTH;
use click::packet::{BURST, Batch};
use pcap_file::pcap::{PcapHeader, PcapWriter, RawPcapPacket};
use pcap_file::{DataLink, TsResolution};
use std::any::Any;
use std::borrow::Cow;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

click::element! {
    /// Writes packets to a file that tcpdump can read, and passes them on if it has an output.
    ///
    /// # Arguments
    /// `FILENAME`: the file, `-` being standard output. `SNAPLEN` (0: all): bytes of each packet. `ENCAP` (ETHER): the
    /// link layer, `ETHER`, `IP`, `SLL`, `SLL2` or `NULL`. `EXTRA_LENGTH` (true): the extra length annotation counts as
    /// part of a packet's length. `NANO` (false): times in nanoseconds. `UNBUFFERED` (false): each packet is in the file
    /// at once. `USE_ENCAP_FROM`: the link layer is that of a `FromDump`. `PER_NODE` is accepted.
    ///
    /// # Handlers
    /// `count`: packets so far. `filename`: the argument. `reset_counts`: sets the count to 0. `flush`: has all packets in
    /// the file.
    ToDump "1/0-1" "a/a"
    keywords [
        "FILENAME", "SNAPLEN", "ENCAP", "EXTRA_LENGTH", "NANO", "UNBUFFERED", "USE_ENCAP_FROM", "PER_NODE",
    ]
    handlers [read("count"), read("filename"), write("reset_counts"), write("flush")]
    {
        name: String,
        length: usize,
        link: u32,
        encap_from: Option<String>,
        extra: bool,
        nano: bool,
        unbuffered: bool,
        file: Option<(PcapWriter<Out>, Out)>,
        pulls: bool,
        count: u64,
    }
}

impl ToDump {
    fn new(args: &mut Args<'_>) -> Self {
        let name = args.required::<String>("FILENAME");
        args.ignored("PER_NODE");
        let length = match args.next::<usize>("SNAPLEN").unwrap_or(0) {
            0 => usize::MAX,
            length => length,
        };
        let encap = args.next::<String>("ENCAP").unwrap_or_else(|| "ETHER".to_string());
        let link = LINKS.iter().find(|l| l.0 == encap.to_ascii_uppercase()).map(|l| l.1);
        if link.is_none() {
            args.error(format!("ENCAP: bad encapsulation type '{encap}'"));
        }
        Self {
            name,
            length,
            link: link.unwrap_or(1),
            encap_from: args.key("USE_ENCAP_FROM"),
            extra: args.key("EXTRA_LENGTH").unwrap_or(true),
            nano: args.key("NANO").unwrap_or(false),
            unbuffered: args.key("UNBUFFERED").unwrap_or(false),
            file: None,
            pulls: false,
            count: 0,
        }
    }

    fn open(&self) -> Result<(PcapWriter<Out>, Out), String> {
        let out = super::create(&self.name).map_err(|e| format!("{}: {}", self.name, reason(&e)))?;
        let ts_resolution = if self.nano { TsResolution::NanoSecond } else { TsResolution::MicroSecond };
        let header = PcapHeader {
            snaplen: u32::try_from(self.length).unwrap_or(65_535),
            datalink: DataLink::from(self.link),
            ts_resolution,
            ..PcapHeader::default()
        };
        let out = Out(Arc::new(Mutex::new(out)));
        let writer =
            PcapWriter::with_header(out.clone(), header).map_err(|e| format!("{}: {e}", self.name))?;
        Ok((writer, out))
    }

    fn save(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let (length, extra, nano) = (self.length, self.extra, self.nano);
        let Some((file, _)) = &mut self.file else { return };
        let (mut failed, mut now) = (None, None);
        batch.each(|packet| {
            let more = if extra { EXTRA_LENGTH.get(packet) } else { 0 };
            let time = match packet.timestamp() {
                0 => *now.get_or_insert_with(|| cx.host.wall_clock()),
                time => time,
            };
            let kept = &packet.data()[..packet.len().min(length)];
            let fraction = (time % 1_000_000_000) as u32;
            let written = file.write_raw_packet(&RawPcapPacket {
                ts_sec: (time / 1_000_000_000) as u32,
                ts_frac: if nano { fraction } else { fraction / 1000 },
                incl_len: kept.len() as u32,
                orig_len: (packet.len() as u32).saturating_add(more),
                data: Cow::Borrowed(kept),
            });
            match written {
                Ok(_) => self.count += 1,
                Err(e) => failed = Some(e),
            }
        });
        if let Some(e) = failed {
            cx.print(&format!("{}: {}: {e}", cx.name(), self.name));
            self.file = None;
        } else if self.unbuffered
            && let Err(message) = self.flush()
        {
            cx.print(&format!("{}: {message}", cx.name()));
        }
    }

    fn flush(&mut self) -> Result<(), String> {
        let Some((_, out)) = &self.file else { return Ok(()) };
        out.clone().flush().map_err(|e| format!("{}: {}", self.name, reason(&e)))
    }
}

/// Where packets are written to, which can be flushed while the library's writer holds it too.
#[derive(Clone)]
struct Out(Arc<Mutex<Box<dyn Write + Send>>>);

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}

impl Element for ToDump {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        if let Some(from) = &self.encap_from {
            let encap = cx.read_handler(&format!("{from}.encap")).map_err(|e| e.to_string())?;
            let link = LINKS.iter().find(|l| l.0 == encap).map(|l| l.1).or_else(|| encap.parse().ok());
            self.link = link.ok_or_else(|| format!("USE_ENCAP_FROM: bad encapsulation type '{encap}'"))?;
        }
        self.file = Some(self.open()?);
        self.pulls = cx.outputs() == 0 && cx.pulls(0);
        if self.pulls {
            cx.schedule();
        }
        Ok(())
    }

    // A FromDump tells its link layer once it is open.
    fn phase(&self) -> i32 {
        i32::from(self.encap_from.is_some())
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
        !batch.is_empty()
    }

    fn take_over(&mut self, old: &mut dyn Element) {
        if let Some(old) = (old as &mut dyn Any).downcast_mut::<ToDump>() {
            self.count = old.count;
        }
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(if handler == "count" { self.count.to_string() } else { self.name.clone() })
    }

    fn write(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<(), String> {
        match handler {
            "flush" => self.flush()?,
            _ => self.count = 0,
        }
        Ok(())
    }
}

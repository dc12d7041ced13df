//! Files in pcap format as a port: packets come in from one, and go out to another.

use super::finisher::Finisher;
use super::{Device, PortError};
use crate::counters::Shared;
use crate::frame::{Batch, LARGEST, Outgoing};
use crate::offload::Offload;
use crate::worker::wake::Wake;
use pcap_file::pcap::PcapReader;
use pcap_file::{DataLink, PcapError};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// A port between files.
pub struct Pcap {
    read: Option<PcapReader<BufReader<File>>>,
    write: Option<BufWriter<File>>,
    finisher: Finisher,
    started: bool,
}

fn other(e: PcapError) -> io::Error {
    match e {
        PcapError::IoError(e) => e,
        e => io::Error::new(io::ErrorKind::InvalidData, e.to_string()),
    }
}

/// Opens the files: one with packets that come in, one for packets that go out.
pub fn open(read: Option<&Path>, write: Option<&Path>) -> io::Result<Pcap> {
    let named = |path: &Path| {
        let path = path.display().to_string();
        move |e: io::Error| io::Error::new(e.kind(), format!("{path}: {e}"))
    };
    let reader = |path: &Path| {
        let file = File::open(path).map_err(named(path))?;
        let reader = PcapReader::new(BufReader::new(file)).map_err(other).map_err(named(path))?;
        if reader.header().datalink != DataLink::ETHERNET {
            return Err(named(path)(io::Error::new(io::ErrorKind::InvalidData, "has no Ethernet packets")));
        }
        Ok(reader)
    };
    let writer = |path: &Path| -> io::Result<BufWriter<File>> {
        let mut writer = BufWriter::new(File::create(path).map_err(named(path))?);
        // Times in nanoseconds, version 2.4, Ethernet (draft-ietf-opsawg-pcap section 4).
        for word in [0xa1b2_3c4d, 0x0004_0002, 0, 0, LARGEST as u32, 1] {
            writer.write_all(&word.to_le_bytes()).map_err(named(path))?;
        }
        Ok(writer)
    };
    Ok(Pcap {
        read: read.map(reader).transpose()?,
        write: write.map(writer).transpose()?,
        finisher: Finisher::default(),
        started: false,
    })
}

impl Device for Pcap {
    fn receive(&mut self, batch: &mut Batch) -> Result<(), PortError> {
        let Some(reader) = self.read.as_mut() else { return Ok(()) };
        while batch.room() > 0 && batch.arena.room(0).is_some() {
            match reader.next_packet() {
                Some(Ok(packet)) => _ = batch.push_bytes(&packet.data, Offload::default()),
                Some(Err(e)) => return Err(other(e).into()),
                None => {
                    self.read = None;
                    break;
                }
            }
        }
        Ok(())
    }

    fn send(&mut self, batch: &Batch, which: &[Outgoing], shared: &Shared) -> Result<usize, PortError> {
        let Some(writer) = self.write.as_mut() else { return Ok(which.len()) };
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        for out in which {
            let Some(frame) = batch.frames().get(usize::from(out.frame)) else { continue };
            let mut written = Ok(());
            self.finisher.each(batch, frame, out.vlan, shared, |packet| {
                let length = packet.len() as u32;
                shared.sent.add(1);
                shared.sent_bytes.add(length.into());
                if written.is_ok() {
                    let words = [time.as_secs() as u32, time.subsec_nanos(), length, length];
                    let header = words.map(u32::to_le_bytes);
                    written = writer.write_all(header.as_flattened()).and_then(|()| writer.write_all(packet));
                }
                true
            });
            written?;
        }
        Ok(which.len())
    }

    fn flush(&mut self, _: &Shared) -> Result<bool, PortError> {
        if let Some(writer) = self.write.as_mut() {
            writer.flush()?;
        }
        Ok(false)
    }

    fn arm(&mut self, _: &Wake) -> Result<bool, PortError> {
        Ok(self.read.is_some())
    }

    fn is_up(&self) -> bool {
        self.started
    }

    fn begin(&mut self, _: &Wake) -> io::Result<()> {
        self.started = true;
        Ok(())
    }

    fn disconnect(&mut self, _: &Wake) {
        self.started = false;
    }
}

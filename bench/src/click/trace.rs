//! A trace of UDP packets of many flows, in a file of its own.

use super::graphs::packet;
use crate::stop;
use e2e::unique;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

/// Removed when dropped.
pub struct Trace(pub PathBuf);

impl Trace {
    /// So many packets of 60 bytes, ten microseconds apart, of so many flows that take turns out of order.
    pub fn write(packets: u32, flows: u32) -> Self {
        let trace = Self(std::env::temp_dir().join(unique("trace") + ".pcap"));
        trace.fill(packets, flows).unwrap_or_else(|e| stop(&format!("{}: {e}", trace.0.display()), 1));
        trace
    }

    fn fill(&self, packets: u32, flows: u32) -> std::io::Result<()> {
        let mut file = BufWriter::new(File::create(&self.0)?);
        // Little-endian, version 2.4, snapshots of 65,535 bytes, Ethernet.
        for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
            file.write_all(&word.to_le_bytes())?;
        }
        for n in 0..packets {
            // 7919 is prime, so that all flows have their turn.
            let flow = (u64::from(n) * 7919 % u64::from(flows)) as u32;
            let [_, a, b, c] = (flow / 4).to_be_bytes();
            let port = 2000 + (flow % 4) as u16;
            let bytes = packet([2, 0, 0, 0, 0, 1], [10, a, b, c], [192, 168, 7, 9], port);
            for word in [n / 100_000, n % 100_000 * 10, 60, 60] {
                file.write_all(&word.to_le_bytes())?;
            }
            file.write_all(&bytes)?;
        }
        file.flush()
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // What cannot be removed stays in the system's temporary folder.
        let _ = std::fs::remove_file(&self.0);
    }
}

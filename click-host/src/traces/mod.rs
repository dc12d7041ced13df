//! Traces of packets: captures as tcpdump writes them, summaries of packets as text, and tcpdump's own text.

mod capture;
mod field;
mod from_dump;
mod from_ip_summary_dump;
mod from_tcpdump;
mod options;
mod parse;
mod playback;
mod player;
mod summary;
mod to_dump;
mod to_ip_summary_dump;
mod view;

use crate::output::StandardOutput;
use std::fs::File;
use std::io::{self, BufWriter, Write};

pub use from_dump::FromDump;
pub use from_ip_summary_dump::FromIPSummaryDump;
pub use from_tcpdump::FromTcpdump;
pub use to_dump::ToDump;
pub use to_ip_summary_dump::ToIPSummaryDump;

/// A file to be written anew, or standard output for `-`.
fn create(name: &str) -> io::Result<Box<dyn Write + Send>> {
    Ok(match name {
        "-" => Box::new(StandardOutput),
        name => Box::new(BufWriter::new(File::create(name)?)),
    })
}

use super::flow::Kind;
use super::rewriter_element;
use super::table::Timeouts;
use super::translation::{Rewriter, SECOND};
use crate::args::{Args, Time};
use crate::element::{read, read_write, write};

crate::element! {
    /// Rewrites addresses and ports of UDP flows, and of their answers.
    ///
    /// Works as `IPRewriter` does, TCP included, with the same timeouts for both.
    ///
    /// # Arguments
    /// One specification for each input, as in `IPRewriter`. `TIMEOUT` (300 s): how long flows are kept;
    /// `STREAMING_TIMEOUT` (as TIMEOUT): those with three packets and an answer. `GUARANTEE` (5 s), `REAP_INTERVAL`
    /// (900 s), `MAPPING_CAPACITY` or `CAPACITY` (65536), `DST_ANNO` (true), `REPLY_ANNO`: as there.
    /// `UDP_TIMEOUT`, `UDP_STREAMING_TIMEOUT`, `UDP_GUARANTEE`: other names of the first three.
    ///
    /// # Handlers
    /// `table`, `mappings`, `udp_table`: all flows. `table_size`, `nmappings`, `size`: how many. `mapping_failures`:
    /// flows that were not remembered. `patterns`: the inputs' specifications; `pattern0`, `pattern1`, `pattern2`,
    /// `pattern3`: one of them, written to replace it. `lookup`, `udp_lookup SADDR SPORT DADDR DPORT`: what a flow is
    /// rewritten to. `capacity`: most flows. `clear`: forgets all.
    UDPRewriter "1-/1-" "h/h"
    keywords [
        "TIMEOUT", "STREAMING_TIMEOUT", "GUARANTEE", "UDP_TIMEOUT", "UDP_STREAMING_TIMEOUT", "UDP_GUARANTEE",
        "REAP_INTERVAL", "MAPPING_CAPACITY", "CAPACITY", "DST_ANNO", "REPLY_ANNO",
    ]
    handlers [
        read("table"), read("mappings"), read("udp_table"), read("table_size"), read("nmappings"), read("size"),
        read("mapping_failures"), read("patterns"), read("lookup"), read("udp_lookup"), read_write("capacity"),
        write("clear"), read_write("pattern0"), read_write("pattern1"), read_write("pattern2"),
        read_write("pattern3"),
    ]
    { pub(super) core: Rewriter }
}

/// `TIMEOUT`, `STREAMING_TIMEOUT` and `GUARANTEE`, for all protocols.
pub(super) fn times(args: &mut Args<'_>, (timeout, guarantee): (u64, u64)) -> Timeouts {
    let mut either =
        |names: [&str; 2], or| names.iter().find_map(|n| args.key::<Time>(n)).map_or(or, |t| t.0);
    let timeout = either(["TIMEOUT", "UDP_TIMEOUT"], timeout * SECOND);
    let streaming = either(["STREAMING_TIMEOUT", "UDP_STREAMING_TIMEOUT"], timeout);
    let guarantee = either(["GUARANTEE", "UDP_GUARANTEE"], guarantee * SECOND);
    Timeouts { tcp: [timeout; 3], udp: [timeout, streaming], guarantees: [guarantee; 2] }
}

impl UDPRewriter {
    fn new(args: &mut Args<'_>) -> Self {
        let timeouts = times(args, (300, 5));
        Self { core: Rewriter::new(args, Kind::Udp, timeouts) }
    }
}

rewriter_element!(UDPRewriter);

use super::flow::Kind;
use super::ip_rewriter::{tcp_guarantee, tcp_times};
use super::rewriter_element;
use super::table::Timeouts;
use super::translation::Rewriter;
use crate::args::Args;
use crate::element::{read, read_write, write};

crate::element! {
    /// Rewrites addresses and ports of TCP flows, and sequence numbers where elements in front changed lengths.
    ///
    /// Works as `IPRewriter` does, for TCP alone. An element such as `FTPPortMapper`, which makes a packet longer or
    /// shorter, has the sequence numbers behind it changed here, acknowledgements too.
    ///
    /// # Arguments
    /// One specification for each input, as in `IPRewriter`. `TCP_TIMEOUT` or `TIMEOUT` (24 h),
    /// `TCP_NODATA_TIMEOUT` (300 s), `TCP_DONE_TIMEOUT` (240 s), `TCP_GUARANTEE` or `GUARANTEE` (5 s), `REAP_INTERVAL` (900 s), `MAPPING_CAPACITY` or `CAPACITY`
    /// (65536), `DST_ANNO` (true), `REPLY_ANNO`: as there.
    ///
    /// # Handlers
    /// `table`, `mappings`, `tcp_table`: all flows. `table_size`, `nmappings`, `size`: how many. `mapping_failures`:
    /// flows that were not remembered. `patterns`: the inputs' specifications; `pattern0`, `pattern1`, `pattern2`,
    /// `pattern3`: one of them, written to replace it. `lookup`, `tcp_lookup SADDR SPORT DADDR DPORT`: what a flow is
    /// rewritten to. `capacity`: most flows. `clear`: forgets all.
    TCPRewriter "1-/1-" "h/h"
    keywords [
        "TCP_TIMEOUT", "TIMEOUT", "TCP_NODATA_TIMEOUT", "TCP_DONE_TIMEOUT", "TCP_GUARANTEE", "GUARANTEE", "REAP_INTERVAL",
        "MAPPING_CAPACITY", "CAPACITY", "DST_ANNO", "REPLY_ANNO",
    ]
    handlers [
        read("table"), read("mappings"), read("tcp_table"), read("table_size"), read("nmappings"), read("size"),
        read("mapping_failures"), read("patterns"), read("lookup"), read("tcp_lookup"), read_write("capacity"),
        write("clear"), read_write("pattern0"), read_write("pattern1"), read_write("pattern2"),
        read_write("pattern3"),
    ]
    { pub(super) core: Rewriter }
}

impl TCPRewriter {
    fn new(args: &mut Args<'_>) -> Self {
        let tcp = tcp_times(args);
        let guarantee = tcp_guarantee(args);
        let timeouts = Timeouts { tcp, udp: [tcp[1]; 2], guarantees: [guarantee; 2] };
        Self { core: Rewriter::new(args, Kind::Tcp, timeouts) }
    }
}

rewriter_element!(TCPRewriter);

use super::flow::Kind;
use super::rewriter_element;
use super::table::Timeouts;
use super::translation::{Rewriter, time};
use crate::args::{Args, Time};
use crate::element::{read, read_write, write};

crate::element! {
    /// Rewrites addresses and ports of TCP and UDP flows, and of their answers.
    ///
    /// Takes IP packets with the IP header annotation. Packets of a flow that is known are rewritten as the flow's
    /// first one was, answers are rewritten back, and checksums are kept right. What becomes of packets of other flows
    /// is said for each input. Other protocols, and fragments but the first, are dropped unless they come in where
    /// packets pass.
    ///
    /// When the table is full, the flow that would be forgotten first makes room, unless all are guaranteed, or it is the
    /// new one; then that is dropped. Flows stay when a new configuration has an element of this name.
    ///
    /// # Arguments
    /// For each input one of:
    ///
    /// - `drop`: packets of unknown flows are dropped.
    /// - `pass [OUTPUT]`: they go on as they are; nothing is remembered.
    /// - `keep FOUTPUT ROUTPUT`: they go on as they are, and the flow is remembered: its packets leave by FOUTPUT, its
    ///   answers by ROUTPUT.
    /// - `pattern SADDR SPORT DADDR DPORT FOUTPUT ROUTPUT`: they are rewritten; a dash leaves a field as it is. SPORT can
    ///   be a range `L-H`: the packet's own port if it is in the range and free, otherwise any that is; with `#` behind
    ///   it one after the other, with `?` any at once. SADDR can be `ADDR-ADDR` or `ADDR/LENGTH` if no ports are given.
    /// - `pattern NAME FOUTPUT ROUTPUT`: the same with a pattern of `IPRewriterPatterns`.
    /// - `ELEMENT`: a mapper, such as `RoundRobinIPMapper`, chooses.
    ///
    /// How long flows are kept: `TCP_TIMEOUT` or `TIMEOUT` (24 h), `TCP_NODATA_TIMEOUT` (300 s) before data went both ways,
    /// `TCP_DONE_TIMEOUT` (240 s) after their end, `UDP_TIMEOUT` (300 s), `UDP_STREAMING_TIMEOUT` (as UDP_TIMEOUT) with
    /// three packets and an answer; `TCP_GUARANTEE` or `GUARANTEE`, `UDP_GUARANTEE` (5 s): for so long after a packet they do not make
    /// room for others. `REAP_INTERVAL` (900 s): how often old ones are looked for. `MAPPING_CAPACITY` or `CAPACITY`
    /// (65536): most flows, or the name of a rewriter whose capacity is shared: room for new flows is made in either.
    /// `DST_ANNO` (true): set the destination annotation. `REPLY_ANNO`: annotation byte, by number or name, that answers
    /// get from their flow's first packet.
    ///
    /// # Handlers
    /// `table`, `mappings`: flows, at most 4096, both ways, with outputs, input and seconds left; `tcp_table`, `tcp_mappings`,
    /// `udp_table`, `udp_mappings`: those of one protocol. `table_size`, `nmappings`: flows; `size`: flows of all
    /// that share the capacity. `mapping_failures`: flows that were not remembered. `patterns`: the inputs' specifications and their flows;
    /// `pattern0`, `pattern1`, `pattern2`, `pattern3`, `pattern4`, `pattern5`, `pattern6`, `pattern7`: one of them;
    /// writing it forgets its flows. `lookup`, `tcp_lookup`, `udp_lookup SADDR SPORT DADDR DPORT`: what a flow is rewritten to.
    /// `capacity`: most flows. `clear`: forgets all.
    IPRewriter "1-/1-" "h/h"
    keywords [
        "TCP_TIMEOUT", "TIMEOUT", "TCP_NODATA_TIMEOUT", "TCP_DONE_TIMEOUT", "TCP_GUARANTEE", "GUARANTEE", "UDP_TIMEOUT",
        "UDP_STREAMING_TIMEOUT", "UDP_GUARANTEE", "REAP_INTERVAL", "MAPPING_CAPACITY", "CAPACITY", "DST_ANNO",
        "REPLY_ANNO",
    ]
    handlers [
        read("table"), read("mappings"), read("tcp_table"), read("tcp_mappings"), read("udp_table"),
        read("udp_mappings"), read("table_size"), read("nmappings"), read("size"), read("mapping_failures"),
        read("patterns"), read("lookup"), read("tcp_lookup"), read("udp_lookup"), read_write("capacity"), write("clear"),
        read_write("pattern0"), read_write("pattern1"), read_write("pattern2"), read_write("pattern3"),
        read_write("pattern4"), read_write("pattern5"), read_write("pattern6"), read_write("pattern7"),
    ]
    { pub(super) core: Rewriter }
}

impl IPRewriter {
    fn new(args: &mut Args<'_>) -> Self {
        let tcp = tcp_times(args);
        let udp = time(args, "UDP_TIMEOUT", 300);
        let streaming = args.key::<Time>("UDP_STREAMING_TIMEOUT").map_or(udp, |t| t.0);
        let guarantees = [tcp_guarantee(args), time(args, "UDP_GUARANTEE", 5)];
        let timeouts = Timeouts { tcp, udp: [udp, streaming], guarantees };
        Self { core: Rewriter::new(args, Kind::Ip, timeouts) }
    }
}

/// The timeouts of TCP.
pub(super) fn tcp_times(args: &mut Args<'_>) -> [crate::element::Nanos; 3] {
    let data = time(args, "TIMEOUT", 86400);
    let data = args.key::<Time>("TCP_TIMEOUT").map_or(data, |t| t.0);
    [data, time(args, "TCP_NODATA_TIMEOUT", 300), time(args, "TCP_DONE_TIMEOUT", 240)]
}

/// For how long TCP's flows are guaranteed.
pub(super) fn tcp_guarantee(args: &mut Args<'_>) -> crate::element::Nanos {
    let guarantee = time(args, "GUARANTEE", 5);
    args.key::<Time>("TCP_GUARANTEE").map_or(guarantee, |t| t.0)
}

rewriter_element!(IPRewriter);

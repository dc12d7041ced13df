use super::flow::Kind;
use super::rewriter_element;
use super::translation::Rewriter;
use super::udp_rewriter::times;
use crate::args::Args;
use crate::element::{read, read_write, write};

crate::element! {
    /// Rewrites the source address of packets, and the destination address of answers back.
    ///
    /// Every source address gets an address of its own, whatever the protocol (basic NAT, RFC 3022 section 2.1). All
    /// packets to that address are answers. Checksums are kept right, fragments pass.
    ///
    /// # Arguments
    /// One specification for each input, as in `IPRewriter`, with patterns `SADDR DADDR`. SADDR can be a range
    /// `ADDR-ADDR` or a network `ADDR/LENGTH`; DADDR must be a dash. `TIMEOUT` (7200 s): how long addresses are kept.
    /// `STREAMING_TIMEOUT` means nothing. `GUARANTEE` (5 s), `REAP_INTERVAL` (900 s), `MAPPING_CAPACITY` or `CAPACITY`
    /// (65536), `DST_ANNO` (true), `REPLY_ANNO`: as there.
    ///
    /// # Handlers
    /// `table`, `mappings`: all addresses, with 0 for what is not looked at. `table_size`, `nmappings`, `size`: how
    /// many. `mapping_failures`: addresses that got none. `patterns`: the inputs' specifications; `pattern0`,
    /// `pattern1`, `pattern2`, `pattern3`: one of them, written to replace it. `capacity`: most addresses. `clear`:
    /// forgets all.
    IPAddrRewriter "1-/1-" "h/h"
    keywords [
        "TIMEOUT", "STREAMING_TIMEOUT", "GUARANTEE", "REAP_INTERVAL", "MAPPING_CAPACITY", "CAPACITY", "DST_ANNO",
        "REPLY_ANNO",
    ]
    handlers [
        read("table"), read("mappings"), read("table_size"), read("nmappings"), read("size"),
        read("mapping_failures"), read("patterns"), read_write("capacity"), write("clear"), read_write("pattern0"),
        read_write("pattern1"), read_write("pattern2"), read_write("pattern3"),
    ]
    { pub(super) core: Rewriter }
}

impl IPAddrRewriter {
    fn new(args: &mut Args<'_>) -> Self {
        let timeouts = times(args, (7200, 5));
        Self { core: Rewriter::new(args, Kind::Address, timeouts) }
    }
}

rewriter_element!(IPAddrRewriter);

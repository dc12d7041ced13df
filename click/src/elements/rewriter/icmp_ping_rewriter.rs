use super::flow::Kind;
use super::input::Spec;
use super::pattern::Pattern;
use super::rewriter_element;
use super::translation::Rewriter;
use super::udp_rewriter::times;
use crate::args::Args;
use crate::element::{read, read_write, write};
use alloc::string::String;

crate::element! {
    /// Rewrites addresses and identifiers of ICMP echo requests, and of their answers back.
    ///
    /// Works as `IPRewriter` does, with the identifier in the place of the source port: pings pass a network address
    /// translator. Answers to requests that are not known are dropped unless they come in where packets pass.
    ///
    /// # Arguments
    /// One specification for each input, as in `IPRewriter`: `pattern SADDR IDENT DADDR - FOUTPUT ROUTPUT`. Or, as
    /// older files have it, `SRC` and `DST` as two arguments: requests get these addresses (a dash leaves one as it
    /// is) and an identifier of their own and leave by output 0, answers by the last output; input 1 makes nothing
    /// new. `TIMEOUT` (300 s), `STREAMING_TIMEOUT`, `GUARANTEE` (5 s), `REAP_INTERVAL` (900 s), `MAPPING_CAPACITY` or
    /// `CAPACITY` (65536), `DST_ANNO` (true), `REPLY_ANNO`: as there.
    ///
    /// # Handlers
    /// `table`, `mappings`: all pings. `table_size`, `nmappings`, `size`: how many. `mapping_failures`: those that were
    /// not remembered. `patterns`: the inputs' specifications; `pattern0`, `pattern1`, `pattern2`, `pattern3`: one of
    /// them, written to replace it. `capacity`: most pings. `clear`: forgets all.
    ICMPPingRewriter "1-/1-" "h/h"
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

impl ICMPPingRewriter {
    fn new(args: &mut Args<'_>) -> Self {
        let timeouts = times(args, (300, 5));
        let Some([source, destination]) = addresses(args) else {
            return Self { core: Rewriter::new(args, Kind::Ping, timeouts) };
        };
        let pattern = Pattern::parse(&[&source, "0-65535?", &destination, "-"], args.names);
        let outputs = [0, args.outputs.saturating_sub(1)];
        let specs = [Spec::Pattern(pattern.unwrap_or_default(), outputs), Spec::Drop];
        let specs = specs.into_iter().take(args.inputs).collect();
        Self { core: Rewriter::with_specs(args, Kind::Ping, timeouts, specs) }
    }
}

/// The two addresses of older files, which then are no longer among the arguments.
fn addresses(args: &mut Args<'_>) -> Option<[String; 2]> {
    let is = |text: &str| text == "-" || args.names.ipv4(text).is_some();
    if args.left() != 2 || !args.positional().all(is) {
        return None;
    }
    let mut words = args.rest().into_iter();
    Some([words.next()?.text, words.next()?.text])
}

rewriter_element!(ICMPPingRewriter);

//! Keywords and handlers of Click's elements, as `facts/click.txt` lists them: `CLASS: KEYWORD... | HANDLER=rw...`; and how
//! many ports they have, as `facts/ports.txt` does. All are there but those named below.

use click::element::Class;
use std::fs;
use std::path::Path;

/// Keywords that are not there, or under another name; `CLASS KEYWORD`. Some stand without a keyword alone.
const KEYWORDS: &[&str] = &[
    "ARPTable ETH",
    "ARPTable IP",
    "BalancedThreadSched INCREASING",
    "BalancedThreadSched INTERVAL",
    "Clipboard LENGTH",
    "Clipboard OFFSET",
    "ControlSocket FD",
    "DPDKInfo DEF_BURST_SIZE",
    "DPDKInfo MBUF_CACHE_SIZE",
    "DPDKInfo MBUF_SIZE",
    "DPDKInfo MEMPOOL_PREFIX",
    "DPDKInfo NB_MBUF",
    "DPDKInfo RX_HTHRESH",
    "DPDKInfo RX_PTHRESH",
    "DPDKInfo RX_WTHRESH",
    "DPDKInfo TX_HTHRESH",
    "DPDKInfo TX_PTHRESH",
    "DPDKInfo TX_WTHRESH",
    "ICMPPingSource MIRROR",
    "IPReassembler MAX_MTU_ANNO",
    "RandomSource END_CALL",
    "RandomSource TIMESTAMP",
    "Script N1",
    "Script N2",
    "SetTimestamp DELTA",
    "StaticThreadSched ELEMENT",
    "StaticThreadSched THREAD",
    "TCPRewriter DADDR",
    "TCPRewriter DPORT",
    "TCPRewriter SADDR",
    "TCPRewriter SPORT",
    "Unqueue2 QUEUES",
    "Unqueue2 QUIET",
];

/// Handlers that are not there, or cannot be read or written; `CLASS HANDLER`.
const HANDLERS: &[&str] = &[
    "ARPQuerier ipaddr",
    "CoDel queues",
    "CoDel stats",
    "DPDKInfo pool_count",
    "FastUDPFlows length",
    "FromDPDKDevice add_mac",
    "FromDPDKDevice autoneg",
    "FromDPDKDevice carrier",
    "FromDPDKDevice driver",
    "FromDPDKDevice duplex",
    "FromDPDKDevice hw_bytes",
    "FromDPDKDevice hw_count",
    "FromDPDKDevice hw_dropped",
    "FromDPDKDevice hw_errors",
    "FromDPDKDevice mac",
    "FromDPDKDevice nb_rx_queues",
    "FromDPDKDevice nb_tx_queues",
    "FromDPDKDevice remove_mac",
    "FromDPDKDevice reset_count",
    "FromDPDKDevice speed",
    "FromDPDKDevice xstats",
    "FromDump packet_filepos",
    "IPClassifier pattern",
    "IPRateMonitor memmax",
    "IPReassembler dump",
    "InfiniteSource notifier",
    "LookupIP6Route ctrl",
    "RatedUnqueue calls",
    "RoundRobinUnqueue packets",
    "ToDPDKDevice dropped",
    "ToDPDKDevice hw_bytes",
    "ToDPDKDevice hw_count",
    "ToDPDKDevice hw_errors",
    "ToDevice debug",
    "ToDevice pulls",
    "ToDevice q",
    "ToDevice signal",
    "Unqueue2 packets",
];

/// Classes whose elements cannot have as many inputs or outputs as Click's, or that need some.
const PORTS: &[&str] =
    &["EtherSpanTree", "IPRateMonitor", "ListenEtherSwitch", "RoundRobinUnqueue", "Suppressor"];

fn class(name: &str) -> &'static Class {
    let of_host = click_host::CLASSES.iter().copied().find(|c| c.name == name);
    of_host
        .or_else(|| click::elements::classes().find(|c| c.name == name))
        .unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn keywords_and_handlers_are_those_of_click() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/facts/click.txt");
    let facts = fs::read_to_string(file).unwrap();
    let (mut keywords, mut handlers) = (Vec::new(), Vec::new());
    for line in facts.lines() {
        let (name, rest) = line.split_once(": ").unwrap();
        let (known, handled) = rest.split_once('|').unwrap();
        let class = class(name);
        let missing = known.split_whitespace().filter(|k| !class.keywords.contains(k));
        keywords.extend(missing.map(|k| format!("{name} {k}")));
        for handler in handled.split_whitespace() {
            let (handler, mode) = handler.split_once('=').unwrap();
            let own = class.handlers.iter().find(|h| h.name == handler);
            // Those that every element has, or every one that works.
            let common = matches!((handler, mode), ("config" | "scheduled" | "tickets" | "home_thread", _));
            let fits =
                own.is_some_and(|h| (h.read || !mode.contains('r')) && (h.write || !mode.contains('w')));
            if !fits && !common {
                handlers.push(format!("{name} {handler}"));
            }
        }
    }
    let unexpected = |found: &[String], known: &[&str]| {
        let new = found.iter().filter(|f| !known.contains(&f.as_str())).cloned();
        let gone =
            known.iter().filter(|k| !found.iter().any(|f| f == *k)).map(|k| format!("{k} is there now"));
        new.chain(gone).collect::<Vec<_>>()
    };
    let wrong = [unexpected(&keywords, KEYWORDS), unexpected(&handlers, HANDLERS)].concat();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Least and most of one side's ports; `=` and `#` depend on the other.
fn bounds(text: &str) -> (usize, usize) {
    match text.split_once('-') {
        Some((least, most)) => (least.parse().unwrap_or(0), most.parse().unwrap_or(usize::MAX)),
        None => text.parse().map_or((0, usize::MAX), |n| (n, n)),
    }
}

#[test]
fn elements_can_have_the_ports_that_they_have_in_click() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/facts/ports.txt");
    let facts = fs::read_to_string(file).unwrap();
    let mut fewer = Vec::new();
    for line in facts.lines() {
        let (name, theirs) = line.split_once(": ").unwrap();
        let (theirs, ours) = (theirs.split('/'), class(name).ports.split('/'));
        let fits = theirs.zip(ours).all(|(theirs, ours)| {
            let ((least, most), own) = (bounds(theirs), bounds(ours));
            own.0 <= least && own.1 >= most && (!ours.contains('=') || theirs.contains('='))
        });
        if !fits {
            fewer.push(name);
        }
    }
    assert_eq!(fewer, PORTS);
}

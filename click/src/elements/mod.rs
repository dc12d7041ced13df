//! The library. One file an element; a folder is a subject, and its `mod.rs` holds what its elements share.
//!
//! A new element is a file with an [`element!`](crate::element!), and a line in [`library!`] below.

pub mod aggregate;
pub mod app;
pub mod arp;
pub mod content;
pub mod control;
pub mod devices;
pub mod ethernet;
pub mod flow;
pub mod icmp;
pub mod ip;
pub mod ip6;
pub mod rewriter;
pub mod sources;
pub mod transport;
pub mod tunnel;

use crate::element::{Class, Described};

macro_rules! library {
    ($($subject:ident::$name:ident),* $(,)? ; $($alias:literal = $other:ident::$original:ident),* $(,)?) => {
        static CLASSES: &[&Class] = &[
            $(&<$subject::$name as Described>::CLASS,)*
            $(&Class { name: $alias, ..<$other::$original as Described>::CLASS },)*
        ];

        /// The subject of each class, in the same order.
        #[cfg(feature = "manual")]
        static SUBJECTS: &[&str] = &[$(stringify!($subject),)* $(stringify!($other),)*];
    };
}

library! {
    aggregate::AggregateCounter, aggregate::AggregateFilter, aggregate::AggregateIP, aggregate::AggregateLength,
    aggregate::AggregatePaint, app::DHCPServer, app::DNSServer,
    arp::ARPFaker, arp::ARPPrint, arp::ARPQuerier, arp::ARPResponder, arp::ARPTable,
    content::AdjustTimestamp, content::Align, content::AverageCounter, content::CheckAnno,
    content::CheckCRC32, content::CheckLength, content::CheckPaint, content::Classifier, content::Clipboard,
    content::Counter, content::MarkMACHeader, content::Message, content::Pad, content::Paint, content::PaintTee,
    content::Print, content::Resize, content::SetAnnoByte, content::SetCRC32, content::SetPacketType,
    content::SetTimestamp,
    content::SetTimestampDelta, content::StoreData, content::Strip, content::TimeFilter, content::Truncate,
    content::Unstrip,
    control::AddressInfo, control::AlignmentInfo, control::DriverManager, control::Error, control::ErrorElement,
    control::HandlerProxy, control::NotifierDebug, control::PortInfo, control::RandomSeed, control::ScheduleInfo,
    control::ClickyInfo, control::Script, control::StaticThreadSched,
    devices::FromDevice, devices::FromDPDKDevice, devices::ToDevice, devices::ToDPDKDevice,
    ethernet::CheckARPHeader, ethernet::GetEtherAddress, ethernet::SetEtherAddress, ethernet::StoreEtherAddress,
    ethernet::DropBroadcasts, ethernet::EnsureEther, ethernet::EtherEncap, ethernet::EtherMirror,
    ethernet::EtherRewrite, ethernet::EtherSpanTree, ethernet::EtherSwitch, ethernet::ListenEtherSwitch, ethernet::EtherVLANEncap, ethernet::HostEtherFilter,
    ethernet::SetVLANAnno, ethernet::StripEtherVLANHeader, ethernet::StripToNetworkHeader, ethernet::VLANDecap,
    ethernet::VLANEncap,
    flow::BandwidthRatedSplitter, flow::BandwidthRatedUnqueue, flow::BandwidthShaper, flow::Block, flow::Burster,
    flow::Bypass, flow::DelayShaper, flow::DelayUnqueue, flow::Discard, flow::DRRSched, flow::FrontDropQueue,
    flow::HashSwitch, flow::Hub, flow::Idle, flow::InputSwitch, flow::LinkUnqueue, flow::MixedQueue, flow::Null,
    flow::PaintSwitch, flow::PrioSched, flow::PullSwitch, flow::PullTee, flow::Queue, flow::SimpleQueue, flow::RandomSample,
    flow::RandomSwitch, flow::RatedSplitter, flow::RatedUnqueue, flow::RED, flow::RoundRobinSched,
    flow::RoundRobinSwitch, flow::Shaper, flow::StaticPullSwitch, flow::StaticSwitch, flow::StrideSched,
    flow::BandwidthMeter, flow::CoDel, flow::EnsureDPDKBuffer, flow::Meter, flow::ReplayUnqueue, flow::RoundRobinUnqueue, flow::StrideSwitch,
    flow::TimedUnqueue, flow::Suppressor, flow::Switch, flow::Tee, flow::TimedSink, flow::TimeSortedSched, flow::Unqueue,
    icmp::CheckICMPHeader, icmp::ICMPError, icmp::ICMPIPEncap, icmp::ICMPPingEncap, icmp::ICMPPingResponder,
    icmp::ICMPPingSource,
    ip::CheckIPHeader, ip::DecIPTTL, ip::FixIPSrc, ip::GetIPAddress, ip::IPClassifier, ip::IPEncap, ip::IPFilter,
    ip::IPFragmenter, ip::IPGWOptions, ip::IPInputCombo, ip::IPMirror, ip::IPOutputCombo, ip::IPPrint,
    ip::IPRateMonitor, ip::IPReassembler, ip::MarkIPCE, ip::MarkIPHeader, ip::RadixIPLookup, ip::SetIPAddress,
    ip::SetIPChecksum, ip::SetIPDSCP, ip::SetIPECN, ip::SetRandIPAddress, ip::StaticIPLookup, ip::StoreIPAddress,
    ip::ResetIPChecksum, ip::StripIPHeader, ip::TruncateIPPayload, ip::UnstripIPHeader,
    ip6::CheckIP6Header, ip6::DecIP6HLIM, ip6::ICMP6Error, ip6::IP6NDAdvertiser, ip6::IP6NDSolicitor, ip6::IP6Print,
    ip6::AddressTranslator, ip6::GetIP6Address, ip6::IP6Encap, ip6::IP6Fragmenter, ip6::IP6Mirror, ip6::LookupIP6Route, ip6::MarkIP6Header,
    ip6::ProtocolTranslator46, ip6::ProtocolTranslator64, ip6::SetIP6Address, ip6::SetIP6DSCP,
    rewriter::FTPPortMapper, rewriter::ICMPPingRewriter, rewriter::ICMPRewriter, rewriter::IPAddrPairRewriter,
    rewriter::IPAddrRewriter, rewriter::IPRewriter, rewriter::IPRewriterPatterns, rewriter::RoundRobinIPMapper,
    rewriter::SourceIPHashMapper, rewriter::TCPRewriter, rewriter::UDPRewriter,
    sources::FastTCPFlows, sources::FastUDPFlows, sources::FastUDPSource, sources::InfiniteSource, sources::RandomSource, sources::RatedSource, sources::TimedSource,
    transport::CheckTCPHeader, transport::CheckUDPHeader, transport::SetTCPChecksum, transport::SetUDPChecksum,
    transport::DynamicUDPIPEncap, transport::TCPFragmenter, transport::TCPIPEncap, transport::UDPIP6Encap, transport::UDPIPEncap,
    tunnel::ESPTunnelDecap, tunnel::ESPTunnelEncap, tunnel::GREDecap, tunnel::GREEncap, tunnel::VXLANDecap, tunnel::VXLANEncap;
    "DirectIPLookup" = ip::RadixIPLookup,
    "LinearIPLookup" = ip::RadixIPLookup,
    "LookupIPRoute" = ip::RadixIPLookup,
    "LookupIPRoute2" = ip::RadixIPLookup,
    "LookupIPRouteMP" = ip::RadixIPLookup,
    "MSQueue" = flow::Queue,
    "RangeIPLookup" = ip::RadixIPLookup,
    "SortedIPLookup" = ip::RadixIPLookup,
    "TrieIPLookup" = ip::RadixIPLookup,
    "ICMPSendPings" = icmp::ICMPPingSource,
    "FullNoteQueue" = flow::Queue,
    "NotifierQueue" = flow::SimpleQueue,
    "SimplePullSwitch" = flow::PullSwitch,
    "AnnotationInfo" = control::ClickyInfo,
    "BalancedThreadSched" = control::ClickyInfo,
    "CheckIPHeader2" = ip::CheckIPHeader,
    "DPDKInfo" = control::ClickyInfo,
    "DevirtualizeInfo" = control::ClickyInfo,
    "DiscardNoFree" = flow::Discard,
    "EtherVlanEncap" = ethernet::EtherVLANEncap,
    "FlowInfo" = control::ClickyInfo,
    "IPFieldInfo" = control::ClickyInfo,
    "IPNameInfo" = control::ClickyInfo,
    "JiffieClock" = control::ClickyInfo,
    "MultiReplayUnqueue" = flow::ReplayUnqueue,
    "Null1" = flow::Null,
    "Null2" = flow::Null,
    "Null3" = flow::Null,
    "Null4" = flow::Null,
    "Null5" = flow::Null,
    "Null6" = flow::Null,
    "Null7" = flow::Null,
    "Null8" = flow::Null,
    "PullNull" = flow::Null,
    "PushNull" = flow::Null,
    "QuickNoteQueue" = flow::Queue,
    "SetVlanAnno" = ethernet::SetVLANAnno,
    "SimpleIdle" = flow::Idle,
    "SimplePrioSched" = flow::PrioSched,
    "SimpleRoundRobinSched" = flow::RoundRobinSched,
    "SpinlockAcquire" = flow::EnsureDPDKBuffer,
    "SpinlockInfo" = control::ClickyInfo,
    "SpinlockPush" = flow::EnsureDPDKBuffer,
    "SpinlockRelease" = flow::EnsureDPDKBuffer,
    "StripEtherVlanHeader" = ethernet::StripEtherVLANHeader,
    "TSCClock" = control::ClickyInfo,
    "Unqueue2" = flow::Unqueue,
    "ThreadSafeQueue" = flow::Queue,
}

/// Names of classes that Click warns of.
pub(crate) const DEPRECATED: [(&str, &str); 2] = [
    ("MSQueue", "MSQueue is deprecated, use ThreadSafeQueue instead"),
    ("SortedIPLookup", "SortedIPLookup is deprecated; use LinearIPLookup or RadixIPLookup instead"),
];

/// Classes whose elements cannot be configured anew while they run: others know them by what they were made of, or they
/// hold what cannot be made again.
const FIXED: &[&str] = &[
    "AddressInfo",
    "AlignmentInfo",
    "ARPQuerier",
    "ARPTable",
    "DriverManager",
    "Error",
    "FromDevice",
    "AddressTranslator",
    "FromDPDKDevice",
    "FTPPortMapper",
    "FullNoteQueue",
    "HandlerProxy",
    "IPRewriterPatterns",
    "Message",
    "PortInfo",
    "Queue",
    "RandomSeed",
    "RoundRobinIPMapper",
    "ScheduleInfo",
    "Script",
    "SourceIPHashMapper",
    "QuickNoteQueue",
    "ThreadSafeQueue",
    "ToDevice",
    "ToDPDKDevice",
];

/// Whether an element of a class can be configured anew while it runs.
pub(crate) fn reconfigures(class: &str) -> bool {
    !FIXED.contains(&class) && !needs_host(class) && !class.ends_with("Rewriter")
}

/// Classes that only a host program has: files, sockets, devices of the operating system.
const HOST_ONLY: &[&str] = &[
    "AggregateFirst",
    "AggregateIPAddrPair",
    "AggregateIPFlows",
    "AggregateLast",
    "AggregatePacketCounter",
    "ChatterSocket",
    "ControlSocket",
    "FromDump",
    "FromHost",
    "FromIPSummaryDump",
    "FromSocket",
    "FromTcpdump",
    "KernelTap",
    "KernelTun",
    "McastSocket",
    "PollDevice",
    "RawSocket",
    "Socket",
    "ToDump",
    "ToHost",
    "ToIPSummaryDump",
    "ToSocket",
];

/// Whether a class exists on a host only.
pub(crate) fn needs_host(name: &str) -> bool {
    HOST_ONLY.contains(&name)
}

/// The classes that a configuration can name: those of this library, and those of the host. One of the host's hides one
/// of the library with the same name.
#[derive(Clone, Copy, Debug, Default)]
pub struct Library {
    /// The host's.
    pub host: &'static [&'static Class],
}

impl Library {
    /// The class of a name.
    pub fn class(self, name: &str) -> Option<&'static Class> {
        let find = |classes: &[&'static Class]| classes.iter().copied().find(|c| c.name == name);
        // A guest has no others; looking for them takes room.
        if cfg!(feature = "host") { find(self.host).or_else(|| find(CLASSES)) } else { find(CLASSES) }
    }

    /// All classes.
    pub fn classes(self) -> impl Iterator<Item = &'static Class> {
        let host = if cfg!(feature = "host") { self.host } else { &[] };
        let hidden = move |c: &&Class| host.iter().any(|h| h.name == c.name);
        host.iter().copied().chain(CLASSES.iter().copied().filter(move |c| !hidden(c)))
    }
}

/// All classes of this library.
pub fn classes() -> impl Iterator<Item = &'static Class> {
    CLASSES.iter().copied()
}

/// All classes with their subjects: what the manual is made of.
#[cfg(feature = "manual")]
pub fn manual() -> impl Iterator<Item = (&'static str, &'static Class)> {
    SUBJECTS.iter().copied().zip(CLASSES.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_class_has_a_name_of_its_own_and_keywords_in_capitals() {
        let names: BTreeSet<_> = classes().map(|c| c.name).collect();
        assert_eq!(names.len(), classes().count());
        let capital = |k: &&str| k.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
        assert!(classes().all(|c| c.keywords.iter().all(capital)));
    }

    #[test]
    #[cfg(feature = "manual")]
    fn every_class_has_a_page_in_the_manual() {
        for class in classes() {
            assert!(
                class.manual.first().is_some_and(|l| l.ends_with('.')),
                "{}: {:?}",
                class.name,
                class.manual
            );
            let said = |name: &str| {
                let ways = [format!("`{name}`"), format!("`{name} ")];
                class.manual.iter().any(|l| ways.iter().any(|w| l.contains(w)))
            };
            let handlers = class.handlers.iter().map(|h| h.name);
            let missing: Vec<_> =
                handlers.chain(class.keywords.iter().copied()).filter(|n| !said(n)).collect();
            assert!(missing.is_empty(), "{}: {missing:?}", class.name);
        }
    }
}

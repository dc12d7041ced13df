//! What a client wants, as it tells the server in JSON.

use crate::state::Refusal;
use crate::{BLOCK_MAXIMUM, STREAMS_MAXIMUM, datagram};
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Whether a field can stay out.
fn unset<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The parameters. Fields that iperf3 has and this does not are skipped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Parameters {
    /// Over TCP.
    #[serde(skip_serializing_if = "unset")]
    pub tcp: bool,
    /// Over UDP.
    #[serde(skip_serializing_if = "unset")]
    pub udp: bool,
    /// Seconds at the beginning that do not count.
    pub omit: u32,
    /// Seconds; 0: until `num` or `blockcount` is reached.
    pub time: u32,
    /// Bytes to send in all; 0: no limit.
    pub num: u64,
    /// Blocks to send in all; 0: no limit.
    pub blockcount: u64,
    /// Streams.
    pub parallel: u32,
    /// The server sends.
    #[serde(skip_serializing_if = "unset")]
    pub reverse: bool,
    /// Both send.
    #[serde(skip_serializing_if = "unset")]
    pub bidirectional: bool,
    /// Socket buffer, bytes; 0: the server's choice.
    #[serde(skip_serializing_if = "unset")]
    pub window: u64,
    /// Bytes of a block or datagram.
    pub len: u32,
    /// Bits per second of each stream; 0: as fast as it goes.
    #[serde(skip_serializing_if = "unset")]
    pub bandwidth: u64,
    /// Blocks sent at a time.
    #[serde(skip_serializing_if = "unset")]
    pub burst: u32,
    /// Rate for the kernel's pacing.
    #[serde(skip_serializing_if = "unset")]
    pub fqrate: u64,
    /// Segment size.
    #[serde(rename = "MSS", skip_serializing_if = "unset")]
    pub mss: u32,
    /// Type of service.
    #[serde(rename = "TOS", skip_serializing_if = "unset")]
    pub tos: u32,
    /// Flow label.
    #[serde(skip_serializing_if = "unset")]
    pub flowlabel: u32,
    /// Congestion control.
    #[serde(skip_serializing_if = "unset")]
    pub congestion: String,
    /// Datagrams count in 64 bits. Any value but 0.
    #[serde(skip_serializing_if = "unset")]
    pub udp_counters_64bit: u32,
    /// The client's version.
    #[serde(skip_serializing_if = "unset")]
    pub client_version: String,
}

impl Parameters {
    /// Reads what came.
    pub fn parse(json: &[u8]) -> Result<Self, Refusal> {
        serde_json::from_slice(json).map_err(|_| Refusal::Parameters)
    }

    /// Writes them.
    pub fn emit(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Whether a server can do it whose link carries UDP payloads of up to `datagram` bytes.
    pub fn check(&self, datagram: u32) -> Result<(), Refusal> {
        if self.tcp == self.udp {
            return Err(Refusal::NoSctp);
        }
        if !(1..=STREAMS_MAXIMUM).contains(&self.parallel) {
            return Err(Refusal::Streams);
        }
        if self.udp && !(self.header_bytes()..=datagram).contains(&self.len) {
            return Err(Refusal::Datagram);
        }
        if !(1..=BLOCK_MAXIMUM).contains(&self.len) {
            return Err(Refusal::Block);
        }
        let cannot = [
            (self.bidirectional || self.burst > 1, Refusal::Unimplemented),
            (self.mss != 0, Refusal::SegmentSize),
            (self.tos != 0, Refusal::TypeOfService),
            (self.flowlabel != 0, Refusal::FlowLabel),
            (!self.congestion.is_empty(), Refusal::Congestion),
            (self.fqrate != 0, Refusal::Pacing),
        ];
        cannot.into_iter().find(|c| c.0).map_or(Ok(()), |c| Err(c.1))
    }

    /// Whether datagrams count in 64 bits.
    pub fn counters_64bit(&self) -> bool {
        self.udp_counters_64bit != 0
    }

    fn header_bytes(&self) -> u32 {
        datagram::header_bytes(self.counters_64bit()) as u32
    }

    /// Bytes that all streams send together, if there is a limit.
    pub fn bytes(&self) -> Option<u64> {
        match (self.num, self.blockcount) {
            (0, 0) => None,
            (0, blocks) => Some(blocks.saturating_mul(self.len.into())),
            (bytes, _) => Some(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UDP: &[u8] =
        br#"{"udp":true,"omit":0,"time":0,"num":10240,"blockcount":0,"parallel":1,"reverse":true,
        "len":1448,"bandwidth":1048576,"pacing_timer":1000,"client_version":"3.12"}"#;

    #[test]
    fn what_iperf3_sends_is_understood() {
        let p = Parameters::parse(UDP).unwrap();
        assert_eq!(p.check(1472), Ok(()));
        assert_eq!((p.bytes(), p.counters_64bit(), p.reverse), (Some(10240), false, true));
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_its_number() {
        let good = Parameters { tcp: true, parallel: 1, len: 131_072, ..Default::default() };
        assert_eq!(good.check(1472), Ok(()));
        for (bad, refusal) in [
            (Parameters { parallel: 33, ..good.clone() }, Refusal::Streams),
            (Parameters { parallel: 0, ..good.clone() }, Refusal::Streams),
            (Parameters { len: 2 << 20, ..good.clone() }, Refusal::Block),
            (Parameters { len: 0, ..good.clone() }, Refusal::Block),
            (Parameters { tcp: false, ..good.clone() }, Refusal::NoSctp),
            (Parameters { bidirectional: true, ..good.clone() }, Refusal::Unimplemented),
            (Parameters { congestion: "bbr".into(), ..good.clone() }, Refusal::Congestion),
            (Parameters { tcp: false, udp: true, len: 1473, ..good.clone() }, Refusal::Datagram),
            (Parameters { tcp: false, udp: true, len: 8, ..good }, Refusal::Datagram),
        ] {
            assert_eq!(bad.check(1472), Err(refusal), "{bad:?}");
        }
    }

    #[test]
    fn garbage_is_refused() {
        for json in [&b""[..], b"{", b"[1]", br#"{"parallel":-1}"#, br#"{"num":1e400}"#, b"\xff\xfe"] {
            assert_eq!(Parameters::parse(json), Err(Refusal::Parameters));
        }
    }

    #[test]
    fn what_is_emitted_is_parsed() {
        let p = Parameters { tcp: true, parallel: 8, len: 7, num: u64::MAX, ..Default::default() };
        assert_eq!(Parameters::parse(&p.emit()), Ok(p));
    }
}

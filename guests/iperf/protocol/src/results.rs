//! What each side has seen, exchanged in JSON after a test.

use crate::state::Refusal;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// One side's results. Numbers are `f64` where iperf3 may print anything, such as -1 as an unsigned word.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Results {
    /// Processor time used over time passed, percent.
    pub cpu_util_total: f64,
    /// The part of it in user space.
    pub cpu_util_user: f64,
    /// The part of it in the kernel.
    pub cpu_util_system: f64,
    /// Whether the sender counts retransmissions; -1: this side does not send.
    pub sender_has_retransmits: f64,
    /// Each stream.
    pub streams: Vec<StreamResults>,
}

/// What one side has seen of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StreamResults {
    /// Number, see [`crate::stream_id`].
    pub id: u32,
    /// Bytes sent or received.
    pub bytes: u64,
    /// Retransmissions; -1: not counted.
    pub retransmits: f64,
    /// Jitter, seconds.
    pub jitter: f64,
    /// Datagrams lost.
    pub errors: i64,
    /// Datagrams sent, lost ones included.
    pub packets: u64,
    /// Seconds from the test's start.
    pub start_time: f64,
    /// Likewise.
    pub end_time: f64,
}

impl Results {
    /// Reads what came.
    pub fn parse(json: &[u8]) -> Result<Self, Refusal> {
        serde_json::from_slice(json).map_err(|_| Refusal::Results)
    }

    /// Writes them.
    pub fn emit(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Bytes of all streams.
    pub fn bytes(&self) -> u64 {
        self.streams.iter().fold(0, |sum, s| sum.saturating_add(s.bytes))
    }

    /// The longest stream's time, seconds.
    pub fn seconds(&self) -> f64 {
        self.streams.iter().map(|s| s.end_time - s.start_time).fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_iperf3_sends_is_understood() {
        let json = br#"{"cpu_util_total":6.25,"cpu_util_user":0,"cpu_util_system":6.25,
            "sender_has_retransmits":18446744073709551615,"streams":[{"id":1,"bytes":32768,
            "retransmits":18446744073709551615,"jitter":0,"errors":0,"packets":1,"start_time":0,"end_time":0.0008}]}"#;
        let results = Results::parse(json).unwrap();
        assert_eq!((results.bytes(), results.streams[0].packets), (32768, 1));
        assert!(results.seconds() > 0.0);
    }

    #[test]
    fn what_is_emitted_is_parsed() {
        let stream = StreamResults { id: 3, bytes: 7, jitter: 1e-6, errors: -1, ..Default::default() };
        let results =
            Results { sender_has_retransmits: -1.0, streams: [stream; 2].into(), ..Default::default() };
        assert_eq!(Results::parse(&results.emit()), Ok(results));
    }
}

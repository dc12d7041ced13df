//! A client's results for people and for programs.

use crate::parameters::Parameters;
use crate::results::{Results, StreamResults};
use alloc::format;
use alloc::string::String;
use serde_json::{Value, json};

/// Both sides of a test.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// What was asked for.
    pub parameters: &'a Parameters,
    /// This side's results.
    pub own: &'a Results,
    /// The other side's.
    pub peer: &'a Results,
}

/// Bits per second.
fn rate(bytes: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { bytes as f64 * 8.0 / seconds } else { 0.0 }
}

fn sum(results: &Results) -> Value {
    let seconds = results.seconds();
    let bits_per_second = rate(results.bytes(), seconds);
    json!({ "seconds": seconds, "bytes": results.bytes(), "bits_per_second": bits_per_second })
}

/// Lost, sent, and the mean jitter in milliseconds.
fn loss(results: &Results) -> (i64, u64, f64) {
    let count = |f: fn(&StreamResults) -> i64| results.streams.iter().map(f).fold(0, i64::saturating_add);
    let streams = results.streams.len().max(1) as f64;
    let jitter: f64 = results.streams.iter().map(|s| s.jitter).sum();
    (count(|s| s.errors), count(|s| s.packets as i64) as u64, jitter / streams * 1e3)
}

impl Report<'_> {
    fn sides(&self) -> (&Results, &Results) {
        if self.parameters.reverse { (self.peer, self.own) } else { (self.own, self.peer) }
    }

    /// A line each for the sender and the receiver.
    pub fn text(&self) -> String {
        let (sender, receiver) = self.sides();
        let line = |name: &str, r: &Results| {
            let seconds = r.seconds();
            format!(
                "{name}: {} bytes in {seconds:.2} s, {:.1} Mbit/s",
                r.bytes(),
                rate(r.bytes(), seconds) / 1e6
            )
        };
        let mut text = format!("{}\n{}", line("sender", sender), line("receiver", receiver));
        if self.parameters.udp {
            let (lost, packets, jitter) = loss(receiver);
            text += &format!(", jitter {jitter:.3} ms, lost {lost} of {packets}");
        }
        text
    }

    /// The `end` of iperf3's JSON, with the parameters.
    pub fn json(&self) -> String {
        let (sender, receiver) = self.sides();
        let (mut sent, mut received) = (sum(sender), sum(receiver));
        if self.parameters.udp {
            let (lost, packets, jitter) = loss(receiver);
            let share = if packets > 0 { 100.0 * lost as f64 / packets as f64 } else { 0.0 };
            sent["packets"] = json!(loss(sender).1);
            received["packets"] = json!(packets);
            received["lost_packets"] = json!(lost);
            received["lost_percent"] = json!(share);
            received["jitter_ms"] = json!(jitter);
        }
        let p = self.parameters;
        let value = json!({
            "start": { "test_start": {
                "protocol": if p.udp { "UDP" } else { "TCP" },
                "num_streams": p.parallel,
                "blksize": p.len,
                "duration": p.time,
                "bytes": p.num,
                "blocks": p.blockcount,
                "reverse": u8::from(p.reverse),
            }},
            "end": {
                "sum_sent": sent,
                "sum_received": received,
                "cpu_utilization_percent": {
                    "host_total": self.own.cpu_util_total,
                    "remote_total": self.peer.cpu_util_total,
                },
            },
        });
        format!("{value}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_sender_and_receiver_by_direction() {
        let results = |bytes| {
            let stream = StreamResults { bytes, packets: 10, errors: 1, end_time: 2.0, ..Default::default() };
            Results { streams: [stream].into(), ..Default::default() }
        };
        let (own, peer) = (results(900), results(1000));
        let parameters = Parameters { udp: true, reverse: true, ..Default::default() };
        let report = Report { parameters: &parameters, own: &own, peer: &peer };
        assert!(report.text().starts_with("sender: 1000 bytes"), "{}", report.text());
        let json: Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(json["end"]["sum_received"]["bits_per_second"], 3600.0);
        assert_eq!(json["end"]["sum_received"]["lost_packets"], 1);
    }
}

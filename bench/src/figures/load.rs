//! Loads: the programs that measure, and how their words are read.

use super::testbed::Testbed;
use super::testbed::process::{Error, Outcome, failed, finish};
use super::testbed::setup::{SERVER, Setup};
use std::process::Command;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(120);

fn said(what: &str, command: &mut Command) -> Result<Outcome, Error> {
    let outcome = finish(command, TIMEOUT)?;
    if outcome.is_well {
        return Ok(outcome);
    }
    failed(format!("{what} failed: {} {}", tail(&outcome.err), tail(&outcome.out)))
}

/// The last that a program said.
fn tail(text: &str) -> &str {
    let from = text.len().saturating_sub(600);
    text.get(from..).unwrap_or(text).trim()
}

/// iperf3 to the server; gigabits a second that arrived. `amount` is `-t 1` or `-n 32M`.
pub fn iperf(testbed: &Testbed, streams: usize, amount: [&str; 2]) -> Result<f64, Error> {
    let streams = streams.to_string();
    let words = ["iperf3", "-J", "-c", SERVER, "-P", &streams, amount[0], amount[1]];
    // Between two tests a server is busy for a moment, or does not listen.
    let not_yet = ["server is busy", "unable to connect"];
    let mut again = 0;
    loop {
        let outcome = finish(&mut testbed.load(&words), TIMEOUT)?;
        match received(&outcome.out) {
            Some(rate) => return Ok(rate / 1e9),
            None if again < 20 && not_yet.iter().any(|why| outcome.out.contains(why)) => {
                again += 1;
                std::thread::sleep(Duration::from_millis(50));
            }
            None => {
                return failed(format!(
                    "iperf3 printed no rate: {} {}",
                    tail(&outcome.err),
                    tail(&outcome.out)
                ));
            }
        }
    }
}

fn received(json: &str) -> Option<f64> {
    let json: serde_json::Value = serde_json::from_str(json).ok()?;
    json["end"]["sum_received"]["bits_per_second"].as_f64()
}

/// Bytes, and microseconds one way.
pub type Latencies = Vec<(f64, f64)>;

/// NPtcp from the client's namespace over its own row of sizes.
pub fn nptcp(testbed: &Testbed, low: u32, high: u32, repeats: u32) -> Result<Latencies, Error> {
    let (low, high, repeats) = (low.to_string(), high.to_string(), repeats.to_string());
    let words =
        ["NPtcp", "-o", "/dev/null", "-h", SERVER, "-p", "0", "-l", &low, "-u", &high, "-n", &repeats];
    latencies(&said("NPtcp", &mut testbed.load(&words))?.err)
}

/// The same from a second guest.
pub fn nptcp_of_guest(testbed: &Testbed, setup: &Setup, size: u32, repeats: u32) -> Result<Latencies, Error> {
    let mut command = testbed.transmitter(setup, &format!("-p 0 -l {size} -u {size} -n {repeats}"));
    latencies(&said("the netpipe guest", &mut command)?.out)
}

/// What NPtcp, or the guest that speaks as it does, has printed.
pub fn latencies(text: &str) -> Result<Latencies, Error> {
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let bytes = words.iter().position(|w| *w == "bytes")?;
        (words.last() == Some(&"usec")).then_some(())?;
        Some((words.get(bytes.checked_sub(1)?)?.parse().ok()?, words[words.len() - 2].parse().ok()?))
    };
    let all: Latencies = text.lines().filter_map(line).collect();
    if all.is_empty() { failed("NPtcp printed no time") } else { Ok(all) }
}

/// So many pings, a millisecond apart; the median of their round trips, microseconds.
pub fn ping(testbed: &Testbed, count: usize) -> Result<f64, Error> {
    let count = count.to_string();
    let outcome =
        said("ping", &mut testbed.load(&["ping", "-n", "-i", "0.001", "-W", "1", "-c", &count, SERVER]))?;
    let times = round_trips(&outcome.out);
    if times.is_empty() { failed("ping printed no time") } else { Ok(crate::sample::quantile(&times, 0.5)) }
}

fn round_trips(text: &str) -> Vec<f64> {
    let time = |line: &str| line.split_once("time=")?.1.split(' ').next()?.parse::<f64>().ok();
    text.lines().filter_map(time).map(|ms| ms * 1000.0).collect()
}

/// redis-benchmark with 50 clients; requests a second of SET and of GET.
pub fn redis(testbed: &Testbed, requests: usize, pipeline: usize) -> Result<[f64; 2], Error> {
    let (requests, pipeline) = (requests.to_string(), pipeline.to_string());
    let words =
        ["redis-benchmark", "-h", SERVER, "-t", "set,get", "-c", "50", "--csv", "-n", &requests, "-P"];
    let outcome = said("redis-benchmark", &mut testbed.load(&[&words[..], &[&pipeline]].concat()))?;
    match ["SET", "GET"].map(|test| csv_rate(&outcome.out, test)) {
        [Some(set), Some(get)] => Ok([set, get]),
        _ => failed("redis-benchmark printed no rate"),
    }
}

fn csv_rate(text: &str, test: &str) -> Option<f64> {
    let line = text.lines().find(|l| l.starts_with(&format!("\"{test}\"")))?;
    line.split(',').nth(1)?.trim_matches('"').parse().ok()
}

/// The same by a second guest, of one kind.
pub fn redis_of_guest(
    testbed: &Testbed,
    setup: &Setup,
    requests: usize,
    pipeline: usize,
    reads: u32,
) -> Result<f64, Error> {
    let mut words = vec!["redis-load".to_owned()];
    for (name, value) in [
        ("server", SERVER.to_owned()),
        ("requests", requests.to_string()),
        ("pipeline", pipeline.to_string()),
    ] {
        words.extend(["--set".into(), format!("{name}={value}")]);
    }
    words.extend(["--set".into(), format!("reads={reads}"), "--set".into(), "keys=1".into()]);
    let outcome = said("the redis-load guest", &mut testbed.second_guest(setup, &words))?;
    let rate =
        outcome.out.lines().find_map(|l| l.strip_prefix("throughput ")?.split(' ').next()?.parse().ok());
    rate.map_or_else(|| failed("the redis-load guest printed no rate"), Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_programs_are_read() {
        let line = " 11:      64 bytes    200 times -->      2.50 Mbps in     195.37 usec\nthe end";
        assert_eq!(latencies(line).unwrap(), [(64.0, 195.37)]);
        let pings = "64 bytes from 10.0.0.1: icmp_seq=1 ttl=64 time=0.062 ms\n\n--- statistics";
        assert_eq!(round_trips(pings), [62.0]);
        let json = r#"{"end": {"sum_received": {"bits_per_second": 2.5e9}}}"#;
        assert_eq!(received(json), Some(2.5e9));
        assert_eq!(csv_rate("\"test\",\"rps\"\n\"SET\",\"81234.5\",\"0.3\"", "SET"), Some(81_234.5));
    }
}

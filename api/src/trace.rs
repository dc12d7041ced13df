//! Timelines in the forms that other tools read: flat, as Chrome's trace viewer has them (Trace Event Format), and as
//! OpenTelemetry has them (OTLP 1.x, JSON encoding).

use crate::timeline::{External, Timeline};
use machine::timeline::Span;
use serde_json::{Value, json};
use std::cmp::Reverse;

/// A phase with its place in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flat {
    /// Its name.
    pub name: String,
    /// Who says so: `microvisor`, or an orchestrator.
    pub source: String,
    /// In how many others it lies.
    pub depth: usize,
    /// The phase that it lies in, by its place in the list.
    pub parent: Option<usize>,
    /// When it began, nanoseconds since 1970.
    pub start_unix_ns: u64,
    /// When it ended.
    pub end_unix_ns: u64,
}

/// Who says what the node and its monitors say.
const OWN: &str = "microvisor";

fn own(spans: &[Span], begun: u64, into: &mut Vec<External>) {
    for span in spans {
        into.push(External {
            source: OWN.into(),
            name: span.phase.name().into(),
            start_unix_ns: begun + span.start_ns,
            end_unix_ns: begun + span.end_ns,
        });
        own(&span.inside, begun, into);
    }
}

/// All phases by their beginning; what lies in time inside another is under it.
pub fn flat(t: &Timeline) -> Vec<Flat> {
    let mut all = t.external.clone();
    own(&t.timeline.spans, t.begun_unix_ns, &mut all);
    all.sort_by_key(|p| (p.start_unix_ns, Reverse(p.end_unix_ns)));
    let mut flat: Vec<Flat> = Vec::with_capacity(all.len());
    let mut around: Vec<usize> = Vec::new();
    for p in all {
        while let Some(&last) = around.last()
            && (flat[last].end_unix_ns <= p.start_unix_ns || flat[last].end_unix_ns < p.end_unix_ns)
        {
            around.pop();
        }
        let place = flat.len();
        flat.push(Flat {
            name: p.name,
            source: p.source,
            depth: around.len(),
            parent: around.last().copied(),
            start_unix_ns: p.start_unix_ns,
            end_unix_ns: p.end_unix_ns,
        });
        around.push(place);
    }
    flat
}

/// For `chrome://tracing` and Perfetto: complete events, microseconds.
pub fn chrome(t: &Timeline) -> Value {
    let us = |ns: u64| ns as f64 / 1000.0;
    let event = |p: &Flat| {
        json!({ "name": p.name, "cat": p.source, "ph": "X", "ts": us(p.start_unix_ns),
            "dur": us(p.end_unix_ns - p.start_unix_ns), "pid": 1, "tid": 1 })
    };
    let events: Vec<Value> = flat(t).iter().map(event).collect();
    json!({ "traceEvents": events, "displayTimeUnit": "ms",
        "otherData": { "instance": t.instance, "name": t.name, "request": t.request } })
}

/// A number for an instance's start, the same each time: FNV-1a (draft-eastlake-fnv, 128 bits).
fn digest(t: &Timeline) -> u128 {
    let bytes = t.instance.as_bytes().iter().chain(t.request.as_bytes());
    let offset = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    bytes.fold(offset, |hash, &byte| {
        (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    })
}

/// As OTLP's `ExportTraceServiceRequest`: a trace of one root span, the instantiation, and a span a phase. In the trace of
/// the request, if that had one, the root lies in the caller's span.
pub fn otlp(t: &Timeline) -> Value {
    let digest = digest(t);
    let trace = format!("{:032x}", t.traceparent.map_or(digest | 1, |parent| parent.trace));
    let caller = t.traceparent.map(|parent| format!("{:016x}", parent.span));
    // Several starts may be in one trace; no id is 0.
    let id = |number: usize| format!("{:016x}", (digest as u64).wrapping_add(number as u64).max(1));
    let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    let flat = flat(t);
    let start = flat.first().map_or(t.begun_unix_ns, |p| p.start_unix_ns);
    let end = flat.iter().map(|p| p.end_unix_ns).max().unwrap_or(start);
    let span = |number: usize,
                parent: Option<String>,
                name: &str,
                from: u64,
                to: u64,
                attributes: Vec<Value>| {
        json!({ "traceId": trace, "spanId": id(number), "parentSpanId": parent.unwrap_or_default(), "name": name,
            "kind": 1, "startTimeUnixNano": from.to_string(), "endTimeUnixNano": to.to_string(),
            "attributes": attributes })
    };
    let about = vec![
        text("microvisor.instance.id", &t.instance.to_string()),
        text("microvisor.instance.name", &t.name),
        text("microvisor.request.id", &t.request),
    ];
    let mut spans = vec![span(0, caller, "instantiation", start, end, about)];
    for (place, p) in flat.iter().enumerate() {
        let parent = Some(id(p.parent.map_or(0, |parent| parent + 1)));
        let source = vec![text("microvisor.phase.source", &p.source)];
        spans.push(span(place + 1, parent, &p.name, p.start_unix_ns, p.end_unix_ns, source));
    }
    json!({ "resourceSpans": [{
        "resource": { "attributes": [text("service.name", "microvisor-node")] },
        "scopeSpans": [{ "scope": { "name": "microvisor", "version": env!("CARGO_PKG_VERSION") }, "spans": spans }]
    }] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine::timeline::Tsc;
    use machine::timeline::{Phase, Timeline as Spans};
    use uuid::Uuid;

    fn timeline() -> Timeline {
        let mut spans = Spans::new(Tsc(0), 1_000_000_000);
        let inner = spans.span(Phase::Load, Tsc(30), Tsc(40));
        let outer = spans.span(Phase::Spawn, Tsc(20), Tsc(50));
        spans.spans.push(Span { inside: vec![inner], ..outer });
        spans.spans.push(spans.span(Phase::Ready, Tsc(50), Tsc(50)));
        let external = |name: &str, start, end| External {
            source: "nova".into(),
            name: name.into(),
            start_unix_ns: start,
            end_unix_ns: end,
        };
        Timeline {
            instance: Uuid::nil(),
            name: "fw".into(),
            request: "r".into(),
            traceparent: None,
            begun_unix_ns: 1000,
            timeline: spans,
            external: vec![external("scheduler", 900, 950), external("driver", 960, 1060)],
        }
    }

    #[test]
    fn what_lies_inside_another_is_under_it() {
        let depths: Vec<(String, usize)> = flat(&timeline()).into_iter().map(|p| (p.name, p.depth)).collect();
        let expected = [("scheduler", 0), ("driver", 0), ("spawn", 1), ("load", 2), ("ready", 1)];
        assert_eq!(depths, expected.map(|(name, depth)| (name.to_owned(), depth)));
    }

    #[test]
    fn a_trace_has_one_root_that_holds_all() {
        let exported = otlp(&timeline());
        let spans = exported["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
        assert_eq!(
            (spans[0]["startTimeUnixNano"].as_str(), spans[0]["endTimeUnixNano"].as_str()),
            (Some("900"), Some("1060"))
        );
        let roots = spans.iter().filter(|s| s["parentSpanId"] == "").count();
        assert_eq!((spans.len(), roots), (6, 1));
        // Whoever exports it once more says the same.
        assert_eq!(otlp(&timeline()), exported);
    }

    #[test]
    fn the_trace_of_the_request_goes_on() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap();
        let first = Timeline { traceparent: Some(parent), ..timeline() };
        let second = Timeline { request: "s".into(), ..first.clone() };
        let spans =
            |t: &Timeline| otlp(t)["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone();
        let both = [spans(&first), spans(&second)].concat();
        assert!(both.iter().all(|s| s["traceId"] == "4bf92f3577b34da6a3ce929d0e0e4736"));
        let in_the_caller_s = both.iter().filter(|s| s["parentSpanId"] == "00f067aa0ba902b7").count();
        let ids: std::collections::BTreeSet<String> = both.iter().map(|s| s["spanId"].to_string()).collect();
        assert_eq!((in_the_caller_s, ids.len()), (2, both.len()));
    }
}

use crate::args::Args;
use crate::element::{Context, Element};
use crate::elements::content::{AGGREGATE, Runs};
use crate::packet::Batch;
use alloc::format;
use alloc::vec::Vec;

crate::element! {
    /// Chooses packets' output by their aggregate annotation.
    ///
    /// The first argument that names a packet's aggregate says where it goes. What none names is dropped.
    ///
    /// # Arguments
    /// Any number of `ACTION AGGREGATES`. An action is an output, `allow` for output 0, or `drop` or `deny`. Aggregates are
    /// numbers and ranges such as `1 3 10-20`; `all` or `-` stand for those that no argument names.
    AggregateFilter "1/1-254" "h/h"
    { ranges: Vec<(u32, u32, usize)>, otherwise: usize }
}

/// No output: packets are dropped.
const DROP: usize = usize::MAX;

impl AggregateFilter {
    fn new(args: &mut Args<'_>) -> Self {
        let (mut ranges, mut otherwise, mut everything) = (Vec::new(), DROP, false);
        for (number, word) in args.rest().into_iter().enumerate() {
            let mut words = word.text.split_whitespace();
            let action = match words.next() {
                None => {
                    args.error_in(&word, format!("empty pattern {number}"));
                    continue;
                }
                _ if everything => {
                    args.warn(format!("pattern {number} matches no packets"));
                    continue;
                }
                Some("allow") => Some(0),
                Some("drop" | "deny") => Some(DROP),
                Some(output) => output.parse().ok().filter(|&output| output < args.outputs),
            };
            let Some(action) = action else {
                args.error_in(&word, format!("pattern {number}: expected a port number"));
                continue;
            };
            let aggregates: Vec<&str> = words.collect();
            match aggregates.as_slice() {
                [] => args.error_in(&word, format!("pattern {number} has no aggregates")),
                ["all" | "-"] => (otherwise, everything) = (action, true),
                several => {
                    for text in several {
                        match range(text) {
                            Some((first, last)) => add(args, &mut ranges, number, (first, last, action)),
                            None => args
                                .error_in(&word, format!("pattern {number}: bad aggregate number '{text}'")),
                        }
                    }
                }
            }
        }
        Self { ranges, otherwise }
    }

    fn output(&self, aggregate: u32) -> usize {
        let at = self.ranges.partition_point(|range| range.1 < aggregate);
        self.ranges.get(at).filter(|range| range.0 <= aggregate).map_or(self.otherwise, |range| range.2)
    }
}

/// Adds what of a range no other has, so that they stay in order and do not overlap: of what several name, the first counts.
fn add(
    args: &mut Args<'_>,
    ranges: &mut Vec<(u32, u32, usize)>,
    number: usize,
    (first, last, action): (u32, u32, usize),
) {
    let (mut from, mut free) = (Some(first), Vec::new());
    for &(begin, end, taken) in ranges.iter().filter(|range| range.0 <= last && range.1 >= first) {
        if taken != action {
            let (least, to) = (begin.max(first), if taken == DROP { args.outputs } else { taken });
            args.warn(format!("pattern {number}: aggregate {least} already filtered to output {to}"));
        }
        if let Some(start) = from.filter(|&start| start < begin) {
            free.push((start, begin - 1, action));
        }
        from = end.checked_add(1);
    }
    if let Some(start) = from.filter(|&start| start <= last) {
        free.push((start, last, action));
    }
    ranges.append(&mut free);
    ranges.sort_unstable();
}

/// A number, or `FIRST-LAST`.
fn range(text: &str) -> Option<(u32, u32)> {
    let number = |text: &str| crate::args::parse_number(text).and_then(|n| u32::try_from(n).ok());
    match text.split_once('-') {
        Some((first, last)) => Some((number(first)?, number(last)?)).filter(|(first, last)| first <= last),
        None => number(text).map(|n| (n, n)),
    }
}

impl Element for AggregateFilter {
    fn push(&mut self, cx: &mut Context<'_>, _: usize, mut batch: Batch) {
        let mut runs = Runs::new();
        while let Some(mut packet) = batch.pop() {
            match self.output(AGGREGATE.get(&mut packet)) {
                DROP => {}
                output => runs.add(cx, output, packet),
            }
        }
        runs.finish(cx);
    }
}

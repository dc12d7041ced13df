//! `microvisor timeline --stats`: percentiles of every phase, over many instances.

use super::context;
use crate::output::{self, Failure};
use api::timeline::Statistics;

/// `microvisor timeline --stats`, over the last `last` instances.
pub fn statistics(last: usize, json: bool) -> Result<(), Failure> {
    let rows: Vec<Statistics> = context::required()?.get(&format!("/v1/timelines/statistics?last={last}"))?;
    if json {
        return output::json(&rows);
    }
    let ms = |ns: u64| format!("{:.3}", ns as f64 / 1e6);
    let cells =
        |s: &Statistics| vec![s.phase.clone(), s.count.to_string(), ms(s.p50_ns), ms(s.p90_ns), ms(s.p99_ns)];
    let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
    output::print(output::table(&["PHASE", "COUNT", "P50 MS", "P90 MS", "P99 MS"], &rows))
}

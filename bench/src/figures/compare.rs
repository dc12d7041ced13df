//! Two runs beside each other: what got better or worse beyond the noise.

use super::data::{Axis, Better, Content, Figure, Stat};
use super::page;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

/// Differences of medians that are too small to speak of, whatever the spread: three in a hundred.
const SMALL: f64 = 0.03;
/// Fewer measurements have no spread.
const ENOUGH: usize = 3;

/// One thing that was measured.
struct Row<'a> {
    what: String,
    axis: &'a Axis,
    stat: &'a Stat,
}

/// How a new measurement is to an old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Better,
    Worse,
    Same,
    /// There are too few measurements to tell.
    Unknown,
}

/// Better or worse: the medians differ by more than a little, and so much that the spreads, from the 10th to the 90th
/// percentile, do not meet.
fn judge(old: &Stat, new: &Stat, better: Option<Better>) -> Verdict {
    if old.n < ENOUGH || new.n < ENOUGH {
        return Verdict::Unknown;
    }
    let is_small = (new.median - old.median).abs() <= SMALL * old.median.abs();
    if is_small || (new.p10 <= old.p90 && old.p10 <= new.p90) {
        return Verdict::Same;
    }
    match (better.unwrap_or(Better::Less), new.median > old.median) {
        (Better::More, true) | (Better::Less, false) => Verdict::Better,
        _ => Verdict::Worse,
    }
}

fn rows(figure: &Figure) -> Vec<Row<'_>> {
    let id = &figure.figure;
    match &figure.content {
        Content::Lines { x, y, series } => series
            .iter()
            .flat_map(|s| s.points.iter().map(move |p| (s, p)))
            .map(|(s, p)| Row {
                what: format!("{id}  {}, {} {}", s.label, p.x, x.unit_or_label()),
                axis: y,
                stat: &p.stat,
            })
            .collect(),
        Content::Bars { value, groups } => groups
            .iter()
            .flat_map(|g| g.bars.iter().map(move |b| (g, b)))
            .map(|(g, b)| Row { what: format!("{id}  {}, {}", b.label, g.label), axis: value, stat: &b.stat })
            .collect(),
        Content::Stacks { value, stacks } => stacks
            .iter()
            .flat_map(|s| {
                let phases = s.phases.iter().map(|p| (format!("{id}  {}, {}", s.label, p.phase), &p.stat));
                phases.chain([(format!("{id}  {}, the whole", s.label), &s.total)])
            })
            .map(|(what, stat)| Row { what, axis: value, stat })
            .collect(),
        _ => Vec::new(),
    }
}

impl Axis {
    fn unit_or_label(&self) -> &str {
        if self.unit.is_empty() { &self.label } else { &self.unit }
    }
}

fn read(path: &str) -> Result<Vec<Figure>, String> {
    let path = Path::new(path);
    if path.is_dir() {
        return match page::read(path) {
            Ok(figures) if figures.is_empty() => Err(format!("{}: no figures are there", path.display())),
            other => other.map_err(|e| e.to_string()),
        };
    }
    let bytes = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    serde_json::from_slice(&bytes).map(|f| vec![f]).map_err(|e| format!("{}: {e}", path.display()))
}

/// `compare OLD NEW`.
pub fn main(arguments: &[String]) -> ExitCode {
    let [old, new] = arguments else {
        eprintln!("microvisor-bench: compare OLD NEW: two folders, or two files");
        return ExitCode::from(2);
    };
    match read(old).and_then(|old| Ok((old, read(new)?))) {
        Ok((old, new)) if compare(&old, &new) => ExitCode::FAILURE,
        Ok(_) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("microvisor-bench: {why}");
            ExitCode::from(2)
        }
    }
}

/// Prints what differs; whether something got worse.
fn compare(old: &[Figure], new: &[Figure]) -> bool {
    if let (Some(a), Some(b)) = (old.first(), new.first())
        && (&a.host.processor, a.host.cpus, &a.host.kernel)
            != (&b.host.processor, b.host.cpus, &b.host.kernel)
    {
        println!(
            "not the same host: {}, Linux {}; {}, Linux {}",
            a.host.processor, a.host.kernel, b.host.processor, b.host.kernel
        );
    }
    let before: BTreeMap<String, Row<'_>> =
        old.iter().flat_map(rows).map(|row| (row.what.clone(), row)).collect();
    let mut counts = [0; 4];
    let mut only_new = 0;
    for row in new.iter().flat_map(rows) {
        let Some(was) = before.get(&row.what) else {
            only_new += 1;
            continue;
        };
        let verdict = judge(was.stat, row.stat, row.axis.better);
        counts[verdict as usize] += 1;
        if matches!(verdict, Verdict::Better | Verdict::Worse) {
            println!(
                "{:<7}{}: {:.3} ({:.3} to {:.3}) to {:.3} ({:.3} to {:.3}) {}, {:+.0} %",
                if verdict == Verdict::Worse { "worse" } else { "better" },
                row.what,
                was.stat.median,
                was.stat.p10,
                was.stat.p90,
                row.stat.median,
                row.stat.p10,
                row.stat.p90,
                row.axis.unit,
                (row.stat.median / was.stat.median - 1.0) * 100.0
            );
        }
    }
    let [better, worse, same, unknown] = counts;
    let only_old = before.len() - (better + worse + same + unknown);
    println!("{better} better, {worse} worse, {same} the same within their spread");
    if unknown > 0 {
        println!("{unknown} were measured fewer than {ENOUGH} times: nothing is said of them");
    }
    if only_old + only_new > 0 {
        println!("{only_old} only in the old run, {only_new} only in the new one");
    }
    worse > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(middle: f64, spread: f64) -> Stat {
        Stat::of((-5..=5).map(|n| middle + f64::from(n) * spread / 5.0).collect())
    }

    #[test]
    fn noise_is_no_news() {
        let more = Some(Better::More);
        assert_eq!(judge(&around(10.0, 1.0), &around(11.0, 1.0), more), Verdict::Same, "spreads meet");
        assert_eq!(judge(&around(10.0, 0.0), &around(10.2, 0.0), more), Verdict::Same, "too little");
        assert_eq!(judge(&around(10.0, 1.0), &around(13.0, 1.0), more), Verdict::Better);
        assert_eq!(judge(&around(10.0, 1.0), &around(13.0, 1.0), Some(Better::Less)), Verdict::Worse);
        assert_eq!(judge(&Stat::of(vec![1.0]), &Stat::of(vec![9.0]), more), Verdict::Unknown);
    }

    #[test]
    fn a_run_is_as_good_as_itself_and_a_slower_one_is_worse() {
        let figure = crate::figures::example();
        assert!(!compare(std::slice::from_ref(&figure), std::slice::from_ref(&figure)));
        let mut slower = figure.clone();
        if let Content::Lines { series, .. } = &mut slower.content {
            let stat = &mut series[0].points[0].stat;
            *stat = Stat::of(stat.values.iter().map(|v| v / 2.0).collect());
        }
        assert!(compare(&[figure], &[slower]));
    }
}

//! A timeline as bars.

use api::trace::Flat;
use machine::timeline::Timeline;
use machine::timeline::{Tsc, unix_ns};

/// Characters of the longest bar.
const WIDTH: u64 = 48;

/// One line for each phase.
pub fn bars(phases: &[Flat]) -> String {
    let origin = phases.iter().map(|p| p.start_unix_ns).min().unwrap_or(0);
    let end = phases.iter().map(|p| p.end_unix_ns).max().unwrap_or(0);
    let total = (end - origin).max(1);
    let mut text = format!(
        "{:<24}{:>12}  0 {:>width$}\n",
        "phase",
        "µs",
        format!("{:.0} µs", total as f64 / 1e3),
        width = WIDTH as usize - 2
    );
    for p in phases {
        let start = ((p.start_unix_ns - origin) * WIDTH / total).min(WIDTH - 1);
        let end = ((p.end_unix_ns - origin) * WIDTH).div_ceil(total).clamp(start + 1, WIDTH);
        let name = format!("{:indent$}{}", "", p.name, indent = 2 * p.depth);
        let mark = if p.depth == 0 { "█" } else { "▒" };
        let bar = mark.repeat((end - start) as usize);
        let us = (p.end_unix_ns - p.start_unix_ns) as f64 / 1e3;
        text.push_str(&format!("{name:<24}{us:>12.1}  {:start$}{bar}\n", "", start = start as usize));
    }
    text
}

/// The timeline of an instance without the node, in the node's form.
pub fn of_monitor(name: &str, timeline: &Timeline) -> api::timeline::Timeline {
    let age = Tsc::now().since(timeline.origin, timeline.tsc_hz);
    api::timeline::Timeline {
        instance: Default::default(),
        name: name.into(),
        request: String::new(),
        begun_unix_ns: unix_ns().saturating_sub(age),
        traceparent: None,
        timeline: timeline.clone(),
        external: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_where_their_phases_were() {
        let phase = |name: &str, start_unix_ns, end_unix_ns| Flat {
            name: name.into(),
            source: String::new(),
            depth: 0,
            parent: None,
            start_unix_ns,
            end_unix_ns,
        };
        let text = bars(&[phase("image", 5_000, 29_000), phase("spawn", 29_000, 53_000)]);
        assert!(text.contains(&format!("image{:>31}  {}\n", "24.0", "█".repeat(24))), "{text}");
        let spawn = format!("spawn{:>31}  {}{}\n", "24.0", " ".repeat(24), "█".repeat(24));
        assert!(text.contains(&spawn), "{text}");
    }
}

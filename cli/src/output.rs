//! What the commands print: words and tables for people, JSON for programs.

use crate::run::TimelineForm;
use machine::timeline::{Timeline, Tsc, unix_ns};
use node::trace::{Flat, flat};
use serde::Serialize;
use std::io::Write;

/// How a run talks.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// JSON, one object a line.
    pub json: bool,
    /// Whether and how to show the timeline.
    pub timeline: Option<TimelineForm>,
}

/// A line of a run's JSON output.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event<'a> {
    /// Nothing was started.
    Refused {
        /// Why.
        message: &'a str,
        /// What to do about it.
        hint: Option<&'a str>,
        /// Exit status.
        status: u8,
    },
    /// The monitor runs.
    Started {
        /// The instance's name.
        name: &'a str,
        /// The monitor's process.
        pid: u32,
        /// The image's own name.
        image: &'a str,
    },
    /// Console output.
    Console {
        /// What the guest printed; bytes that are no UTF-8 are replaced.
        text: &'a str,
    },
    /// The guest said that it is ready.
    Ready {
        /// How it came to be.
        timeline: &'a Timeline,
    },
    /// The instance ended.
    Ended {
        /// In words.
        message: &'a str,
        /// How, as the monitor says it.
        ending: Option<&'a machine::ending::Ending>,
        /// Exit status.
        status: u8,
        /// How it came to be.
        timeline: Option<&'a Timeline>,
    },
}

/// Prints a value as one line of JSON on standard output.
pub fn json(value: &impl Serialize) {
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    // A reader that is gone wants no more.
    let _ = std::io::stdout().lock().write_all(&line);
}

/// Says what went wrong and what to do about it.
pub fn complain(message: &str, hint: Option<&str>) {
    eprintln!("microvisor: {message}");
    if let Some(hint) = hint {
        eprintln!("  {hint}");
    }
}

impl Output {
    /// Nothing was started; the exit status.
    pub fn refused(self, message: &str, hint: Option<&str>, status: u8) -> u8 {
        if self.json {
            json(&Event::Refused { message, hint, status });
        } else {
            complain(message, hint);
        }
        status
    }

    /// Shows a timeline in the form asked for, if any.
    pub fn timeline(self, timeline: &Timeline) {
        match self.timeline {
            Some(TimelineForm::Bars) if !self.json => eprint!("{}", bars(&flat(&of_monitor("", timeline)))),
            Some(TimelineForm::Json) if !self.json => {
                eprintln!("{}", serde_json::to_string(timeline).unwrap_or_default());
            }
            _ => {}
        }
    }
}

/// A timeline as bars, one line a phase.
pub fn bars(phases: &[Flat]) -> String {
    const WIDTH: u64 = 48;
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

/// A monitor's own timeline, as the node has it.
pub fn of_monitor(name: &str, timeline: &Timeline) -> node::model::Timeline {
    let age = Tsc::now().since(timeline.origin, timeline.tsc_hz);
    node::model::Timeline {
        instance: Default::default(),
        name: name.into(),
        request: String::new(),
        begun_unix_ns: unix_ns().saturating_sub(age),
        timeline: timeline.clone(),
        external: Vec::new(),
    }
}

/// Rows under headings, columns as wide as their widest cell.
pub fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|r| r[column].chars().count());
        cells.chain([headings[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(c, &w)| format!("{c:<w$}")).collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let mut text = line(&mut headings.iter().copied());
    for row in rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
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

    #[test]
    fn a_table_lines_up() {
        let text = table(&["NAME", "X"], &[vec!["long-name".into(), "1".into()]]);
        assert_eq!(text, "NAME       X\nlong-name  1\n");
    }
}

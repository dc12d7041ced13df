//! What the commands print: words and tables for people, JSON for programs.

use crate::run::TimelineForm;
use serde::Serialize;
use std::io::Write;
use vmm::timeline::{Span, Timeline};

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
        ending: Option<&'a vmm::fault::Ending>,
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
            Some(TimelineForm::Bars) if !self.json => eprint!("{}", bars(timeline)),
            Some(TimelineForm::Json) if !self.json => {
                eprintln!("{}", serde_json::to_string(timeline).unwrap_or_default());
            }
            _ => {}
        }
    }
}

/// A timeline as bars, one line a phase.
pub fn bars(timeline: &Timeline) -> String {
    const WIDTH: u64 = 48;
    let total = timeline.total_ns().max(1);
    let mut text = format!(
        "{:<16}{:>10}  0 {:>width$}\n",
        "phase",
        "µs",
        format!("{:.0} µs", total as f64 / 1e3),
        width = WIDTH as usize - 2
    );
    let mut line = |span: &Span, depth: usize| {
        let start = (span.start_ns * WIDTH / total).min(WIDTH - 1);
        let end = (span.end_ns * WIDTH).div_ceil(total).clamp(start + 1, WIDTH);
        let name = format!("{:indent$}{}", "", span.phase.name(), indent = 2 * depth);
        let mark = if depth == 0 { "█" } else { "▒" };
        let bar = mark.repeat((end - start) as usize);
        let us = span.length_ns() as f64 / 1e3;
        text.push_str(&format!("{name:<16}{us:>10.1}  {:start$}{bar}\n", "", start = start as usize));
    };
    for span in &timeline.spans {
        line(span, 0);
        for inside in &span.inside {
            line(inside, 1);
        }
    }
    text
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
    use vmm::clock::Tsc;
    use vmm::timeline::Phase;

    #[test]
    fn bars_stand_where_their_phases_were() {
        let mut t = Timeline::new(Tsc(0), 1_000_000_000);
        t.spans.push(t.span(Phase::Image, Tsc(0), Tsc(24_000)));
        t.spans.push(t.span(Phase::Spawn, Tsc(24_000), Tsc(48_000)));
        let text = bars(&t);
        assert!(text.contains(&format!("image{:>21}  {}\n", "24.0", "█".repeat(24))), "{text}");
        assert!(
            text.contains(&format!("spawn{:>21}  {}{}\n", "24.0", " ".repeat(24), "█".repeat(24))),
            "{text}"
        );
    }

    #[test]
    fn a_table_lines_up() {
        let text = table(&["NAME", "X"], &[vec!["long-name".into(), "1".into()]]);
        assert_eq!(text, "NAME       X\nlong-name  1\n");
    }
}

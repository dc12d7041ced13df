//! What a figure is: numbers with their units and spread, and all that is needed to draw and to repeat them. This is
//! also what is written as JSON (`docs/figures.md`).

use crate::sample::quantile;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Names the format; another number if old readers would misread it.
pub const SCHEMA: &str = "microvisor-figure/1";

/// A figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// [`SCHEMA`].
    pub schema: String,
    /// `fig03`.
    pub figure: String,
    /// What it is about, as published.
    pub caption: String,
    /// The command that made it.
    pub command: String,
    /// When it was begun, seconds since 1970.
    pub begun_unix_s: u64,
    /// How long it took.
    pub seconds: f64,
    /// Runs of each configuration.
    pub rounds: usize,
    /// What it was measured on.
    pub host: Host,
    /// Programs that took part, and what they say of themselves.
    pub versions: BTreeMap<String, String>,
    /// What was compared, and how; a sentence each.
    pub compared: Vec<String>,
    /// What is not shown, and why; a sentence each.
    pub missing: Vec<String>,
    /// What is drawn.
    pub content: Content,
}

/// A computer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// The processor's name.
    pub processor: String,
    /// CPUs that the measurement may use.
    pub cpus: usize,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Linux' release.
    pub kernel: String,
    /// Hardware virtualisation: `VT-x`, `SVM`, or why KVM works without.
    pub virtualisation: String,
    /// Programs that wanted to run when the figure was begun, averaged over a minute.
    pub load: f64,
    /// Which CPU does what.
    pub placement: String,
}

/// What is drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "form", rename_all = "kebab-case")]
pub enum Content {
    /// A line for each configuration.
    Lines {
        /// What is changed.
        x: Axis,
        /// What is measured.
        y: Axis,
        /// The lines.
        series: Vec<Series>,
    },
    /// A bar for each configuration, in groups.
    Bars {
        /// What is measured.
        value: Axis,
        /// The groups.
        groups: Vec<Group>,
    },
    /// Bars of phases, one after the other.
    Stacks {
        /// What is measured.
        value: Axis,
        /// The bars.
        stacks: Vec<Stack>,
    },
    /// The instantiation model.
    Model {
        /// Its phases, those inside another after it.
        phases: Vec<ModelPhase>,
    },
    /// The model beside the components of those who ask for instances.
    Mapping {
        /// Headings.
        columns: Vec<String>,
        /// A phase and who does it; empty: nobody.
        rows: Vec<Vec<String>>,
    },
    /// Nothing but what is said to be missing.
    Words,
}

/// An axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Axis {
    /// What it shows.
    pub label: String,
    /// The unit of its numbers; empty if they are counts.
    pub unit: String,
    /// How numbers are laid out.
    pub scale: Scale,
    /// What is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub better: Option<Better>,
}

/// How numbers are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// Evenly, from zero.
    Linear,
    /// Doublings evenly.
    Log2,
    /// Powers of ten evenly.
    Log10,
}

/// Which numbers are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Better {
    /// Higher ones.
    More,
    /// Lower ones.
    Less,
}

/// Measurements of one thing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stat {
    /// How many.
    pub n: usize,
    /// The one in the middle.
    pub median: f64,
    /// One in ten is lower.
    pub p10: f64,
    /// One in ten is higher.
    pub p90: f64,
    /// All of them, in the order they were made.
    pub values: Vec<f64>,
}

impl Stat {
    /// Of these measurements, of which there is at least one.
    pub fn of(values: Vec<f64>) -> Self {
        let [p10, median, p90] = [0.1, 0.5, 0.9].map(|share| quantile(&values, share));
        Self { n: values.len(), median, p10, p90, values }
    }
}

/// A line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// The configuration's short name, the same in all figures.
    pub key: String,
    /// Its name for people.
    pub label: String,
    /// Its points.
    pub points: Vec<Point>,
}

/// A point of a line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Where on the x axis.
    pub x: f64,
    /// What was measured there.
    #[serde(flatten)]
    pub stat: Stat,
}

/// Bars that belong together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// What they share.
    pub label: String,
    /// The bars.
    pub bars: Vec<Bar>,
}

/// A bar.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bar {
    /// The configuration's short name, the same in all figures.
    pub key: String,
    /// Its name for people.
    pub label: String,
    /// What was measured.
    #[serde(flatten)]
    pub stat: Stat,
}

/// A bar of phases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stack {
    /// Whose phases these are.
    pub label: String,
    /// From the beginning of the first to the end of the last.
    pub total: Stat,
    /// The phases in order.
    pub phases: Vec<PhaseTime>,
}

/// How long a phase took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhaseTime {
    /// Its name, as its source calls it.
    pub phase: String,
    /// The phase of the model that it is, or is a part of; empty if it is none.
    pub model: String,
    /// Who did it: `microvisor`, `nova`, `nomad`.
    pub source: String,
    /// Where it is drawn: behind the phase before it as far as in the median, from the beginning of the bar.
    pub start: f64,
    /// How long it took.
    #[serde(flatten)]
    pub stat: Stat,
}

/// A phase of the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelPhase {
    /// Its name.
    pub name: String,
    /// The phase that it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
    /// Where it takes place: `core`, `host`, `guest`.
    pub place: String,
    /// What happens in it.
    pub meaning: String,
}

/// What a figure's maker returns: all but where, when and by what it was measured.
pub struct Draft {
    /// Its numbers.
    pub content: Content,
    /// Programs that took part.
    pub programs: Vec<&'static str>,
    /// How things were compared, in sentences.
    pub compared: Vec<String>,
    /// What is not shown and why, in sentences.
    pub missing: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_tenths_are_measurements() {
        let stat = Stat::of((1..=11).rev().map(f64::from).collect());
        assert_eq!((stat.p10, stat.median, stat.p90, stat.n), (2.0, 6.0, 10.0, 11));
        let one = Stat::of(vec![4.0]);
        assert_eq!((one.p10, one.median, one.p90), (4.0, 4.0, 4.0));
    }

    #[test]
    fn a_figure_is_read_back_as_it_was_written() {
        let figure = crate::figures::example();
        let text = serde_json::to_string(&figure).unwrap();
        assert_eq!(serde_json::from_str::<Figure>(&text).unwrap(), figure);
    }
}

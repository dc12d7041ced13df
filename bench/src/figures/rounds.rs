//! A run of figures: configurations are measured in rounds, A B A B, so that whatever changes on the host meanwhile affects all alike.

use super::data::{Point, Series, Stat};
use super::testbed::process::Error;
use super::testbed::setup::Setup;
use super::timelines::Instantiations;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How much is measured.
#[derive(Clone, Debug)]
pub struct Effort {
    /// Fewer points and shorter transfers.
    pub quick: bool,
    /// Times that each configuration is measured.
    pub rounds: usize,
    /// A file of timelines that were measured elsewhere.
    pub timelines: Option<PathBuf>,
}

/// A run of figures, and its progress on standard error.
pub struct Run {
    /// How much is measured.
    pub effort: Effort,
    /// What several figures show, once measured.
    pub instantiations: Option<Instantiations>,
    begun: Instant,
    /// Seconds that all was thought to take, and what is behind of that.
    planned: f64,
    behind: f64,
    figure: &'static str,
    /// What was behind when the figure will be done.
    after: f64,
    is_terminal: bool,
}

impl Run {
    /// Begins one that is thought to take some seconds.
    pub fn new(effort: Effort, planned: f64) -> Self {
        Self {
            effort,
            instantiations: None,
            begun: Instant::now(),
            planned,
            behind: 0.0,
            figure: "",
            after: 0.0,
            is_terminal: std::io::stderr().is_terminal(),
        }
    }

    /// Begins a figure that is thought to take some seconds.
    pub fn begin(&mut self, figure: &'static str, seconds: f64) {
        self.behind = self.after;
        self.after += seconds;
        self.figure = figure;
    }

    /// How long it will take, from how long it took so far.
    fn left(&self) -> Duration {
        let pace = if self.behind > 5.0 { self.begun.elapsed().as_secs_f64() / self.behind } else { 1.0 };
        Duration::from_secs_f64(((self.planned - self.behind) * pace).max(0.0))
    }

    /// Says what is done now, which is thought to take some seconds.
    pub fn step(&mut self, what: &str, seconds: f64) {
        let left = self.left().as_secs();
        let line = format!("{}  {what}, {}:{:02} left", self.figure, left / 60, left % 60);
        if self.is_terminal {
            eprint!("\r\x1b[K{line}");
        } else {
            eprintln!("{line}");
        }
        let _ = std::io::stderr().flush();
        self.behind += seconds;
    }

    /// Says something that stays.
    pub fn say(&self, what: &str) {
        eprintln!("{}{}  {what}", if self.is_terminal { "\r\x1b[K" } else { "" }, self.figure);
    }

    /// Lets configurations take turns, each measured in the same places; the lines.
    pub fn alternate(
        &mut self,
        setups: &[Setup],
        seconds: f64,
        mut measure: impl FnMut(&Setup) -> Result<Vec<(f64, f64)>, Error>,
    ) -> Result<Vec<Series>, Error> {
        let mut got: Vec<Vec<(f64, Vec<f64>)>> = vec![Vec::new(); setups.len()];
        let rounds = self.effort.rounds;
        for round in 0..rounds {
            for turn in 0..setups.len() {
                // Everybody is first once.
                let which = (round + turn) % setups.len();
                let label = setups[which].label();
                self.step(&format!("round {} of {rounds}: {label}", round + 1), seconds);
                for (x, value) in measure(&setups[which])? {
                    match got[which].iter_mut().find(|(at, _)| *at == x) {
                        Some((_, values)) => values.push(value),
                        None => got[which].push((x, vec![value])),
                    }
                }
            }
        }
        let point = |(x, values)| Point { x, stat: Stat::of(values) };
        let series = |(setup, points): (&Setup, Vec<(f64, Vec<f64>)>)| Series {
            key: setup.key.into(),
            label: setup.label(),
            points: points.into_iter().map(point).collect(),
        };
        Ok(setups.iter().zip(got).map(series).collect())
    }
}

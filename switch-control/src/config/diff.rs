//! Comparison of two configurations.

use super::Config;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Names of items that were added, removed or changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Diff {
    /// Added items, such as `ports.vm1`.
    pub added: Vec<String>,
    /// Removed items.
    pub removed: Vec<String>,
    /// Changed items.
    pub changed: Vec<String>,
}

impl Diff {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }

    fn section<T: PartialEq>(&mut self, name: &str, old: &BTreeMap<String, T>, new: &BTreeMap<String, T>) {
        for (key, value) in new {
            match old.get(key) {
                None => self.added.push(format!("{name}.{key}")),
                Some(before) if before != value => self.changed.push(format!("{name}.{key}")),
                Some(_) => {}
            }
        }
        let gone = old.keys().filter(|k| !new.contains_key(*k));
        self.removed.extend(gone.map(|k| format!("{name}.{k}")));
    }
}

/// Compares two configurations.
pub fn diff(old: &Config, new: &Config) -> Diff {
    let mut d = Diff::default();
    if old.switch != new.switch {
        d.changed.push("switch".into());
    }
    d.section("segments", &old.segments, &new.segments);
    d.section("ports", &old.ports, &new.ports);
    d.section("announced", &old.announced, &new.announced);
    d
}

impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (sign, names) in [('-', &self.removed), ('~', &self.changed), ('+', &self.added)] {
            for name in names {
                writeln!(f, "{sign} {name}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_names_what_differs() {
        let parse = |t| Config::from_toml(t).unwrap();
        let old = parse("[segments.a]\n[segments.b]\n");
        let new = parse("[switch]\npoll-us = 1\n[segments.b]\npoint-to-point = true\n[segments.c]");
        let text = diff(&old, &new).to_string();
        assert_eq!(text, "- segments.a\n~ switch\n~ segments.b\n+ segments.c\n");
        assert!(diff(&new, &new).is_empty());
    }
}

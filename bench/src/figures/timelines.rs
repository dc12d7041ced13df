//! Timelines of instantiations: those that a run measures once for several figures, and those measured elsewhere.

use super::testbed::process::{Error, failed};
use api::phases::orchestrator;
use api::timeline::Timeline;
use std::path::Path;

/// Timelines of instances that were made alternately.
pub struct Instantiations {
    /// Made by a node without prepared guests.
    pub cold: Vec<Timeline>,
    /// Made by a node with one prepared guest.
    pub prepared: Vec<Timeline>,
}

/// Timelines that were measured elsewhere, under a name.
pub type Elsewhere = Vec<(String, Vec<Timeline>)>;

/// What was measured elsewhere: timelines with phases of a source. The file has a list of them, or lists by name.
pub fn read(path: Option<&Path>, source: &str) -> Result<Elsewhere, Error> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum File {
        One(Vec<Timeline>),
        Named(indexmap::IndexMap<String, Vec<Timeline>>),
    }
    let Some(path) = path else { return Ok(Vec::new()) };
    let text = std::fs::read_to_string(path).or_else(|e| failed(format!("{}: {e}", path.display())))?;
    let file: File = serde_json::from_str(&text).or_else(|e| failed(format!("{}: {e}", path.display())))?;
    let named: Elsewhere = match file {
        File::One(all) => vec![(orchestrator(source).map_or(source, |o| o.name).to_owned(), all)],
        File::Named(all) => all.into_iter().collect(),
    };
    let of_source = |all: Vec<Timeline>| {
        all.into_iter().filter(|t| t.external.iter().any(|p| p.source == source)).collect::<Vec<_>>()
    };
    let named = named.into_iter().map(|(name, all)| (name, of_source(all)));
    Ok(named.filter(|(_, all)| !all.is_empty()).collect())
}

//! Files that a configuration names: where they are looked for, and why one cannot be read.

use std::path::{Path, PathBuf};

/// The system's words for an error, without its number.
pub fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_string()
}

/// The file of a name: here, or in the first folder of the path that has it, or in its `conf`.
pub fn find(name: &str, path: Option<&str>) -> PathBuf {
    let here = PathBuf::from(name);
    if here.exists() || here.is_absolute() {
        return here;
    }
    let from_environment = std::env::var("CLICKPATH").ok();
    let folders = path.or(from_environment.as_deref()).unwrap_or("");
    let places = folders.split(':').filter(|f| !f.is_empty());
    let files = places.flat_map(|f| [Path::new(f).join(name), Path::new(f).join("conf").join(name)]);
    files.into_iter().find(|f| f.exists()).unwrap_or(here)
}

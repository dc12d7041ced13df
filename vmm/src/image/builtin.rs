//! The guest images that are installed with MicroVisor.

use super::Image;
use machine::error::Error;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Folders that are searched for built-in images, in this order.
fn folders() -> Vec<PathBuf> {
    if let Some(folder) = std::env::var_os("MICROVISOR_IMAGES") {
        return vec![folder.into()];
    }
    let program = std::env::current_exe().ok();
    let beside = program.as_deref().and_then(Path::parent);
    let Some(beside) = beside else { return Vec::new() };
    vec![beside.join("../lib/microvisor/images"), beside.join("../images")]
}

/// The path of a built-in image.
pub fn by_name(name: &str) -> Result<Image, Error> {
    let folders = folders();
    for folder in &folders {
        let path = folder.join(name);
        if path.is_file() {
            return Image::open(&path);
        }
    }
    let known = names();
    let known = if known.is_empty() {
        let looked: Vec<_> = folders.iter().map(|f| f.display().to_string()).collect();
        format!("no images are installed in {}; `make` builds them", looked.join(" or "))
    } else {
        format!("there are {}", known.join(", "))
    };
    Err(Error::image(format!("{name}: no such file and no such built-in image; {known}")))
}

/// Names and files of the built-in images.
pub fn all() -> Vec<(String, PathBuf)> {
    let mut all = BTreeMap::new();
    for folder in folders() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            if !name.contains('.') {
                all.entry(name).or_insert_with(|| entry.path());
            }
        }
    }
    all.into_iter().collect()
}

fn names() -> Vec<String> {
    all().into_iter().map(|(name, _)| name).collect()
}

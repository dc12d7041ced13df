//! Guest images by name or path, and which of them runs a configuration.

use std::path::{Path, PathBuf};
use vmm::error::Error;
use vmm::image::Image;

/// Folders that hold the images that come with MicroVisor, first match first.
fn folders() -> Vec<PathBuf> {
    if let Some(folder) = std::env::var_os("MICROVISOR_IMAGES") {
        return vec![folder.into()];
    }
    let program = std::env::current_exe().ok();
    let beside = program.as_deref().and_then(Path::parent);
    let Some(beside) = beside else { return Vec::new() };
    vec![beside.join("../lib/microvisor/images"), beside.join("../images")]
}

/// What a person asked to run.
#[derive(Debug)]
pub struct Wanted {
    /// The image, checked.
    pub image: Image,
    /// Its configuration: file name and text.
    pub config: Option<Config>,
}

/// A configuration as it was read.
#[derive(Clone, Debug)]
pub struct Config {
    /// File it came from.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Config {
    /// Reads a configuration file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let name = path.display().to_string();
        match std::fs::read(path) {
            Ok(bytes) => Ok(Self { name, bytes }),
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => Err(Error::Permission {
                doing: format!("read {name}"),
                hint: "make the file readable for you".into(),
            }),
            Err(e) => Err(Error::Configuration(format!("{name}: {e}"))),
        }
    }
}

/// Finds what `what` names: a guest image by path or name, or a Click file, which `clickos` runs.
pub fn find(what: &str, config: Option<&Path>) -> Result<Wanted, Error> {
    let path = Path::new(what);
    if path.extension().is_some_and(|e| e == "click") {
        if config.is_some() {
            return Err(Error::Configuration(format!(
                "{what} is a configuration already: --config is one too many"
            )));
        }
        let config = Some(Config::read(path)?);
        return Ok(Wanted { image: by_name("clickos")?, config });
    }
    let image =
        if path.components().count() > 1 || path.is_file() { Image::open(path)? } else { by_name(what)? };
    Ok(Wanted { image, config: config.map(Config::read).transpose()? })
}

/// An image by path, or by the name of one that comes with MicroVisor.
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

/// Names of the images that come with MicroVisor.
pub fn names() -> Vec<String> {
    let mut names: Vec<String> = folders()
        .iter()
        .filter_map(|f| std::fs::read_dir(f).ok())
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !name.contains('.'))
        .collect();
    names.sort();
    names.dedup();
    names
}

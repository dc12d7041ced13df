//! Guest images by name or path, and which of them runs a configuration.

use crate::engine;
use crate::suggestion::did_you_mean;
use machine::error::Error;
use std::path::Path;
use vmm::image::Image;
use vmm::image::builtin;

/// Most files of a folder that are looked at for one that was meant.
const FILES: usize = 1000;

/// What a person asked to run.
#[derive(Debug)]
pub struct Selection {
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
    /// Reads a configuration file. A Click file gets the libraries that it requires.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let name = path.display().to_string();
        match std::fs::read(path) {
            Ok(bytes) if path.extension().is_some_and(|e| e == "click") => match String::from_utf8(bytes) {
                Ok(text) => {
                    let bytes = engine::expand(&name, text)?.into_bytes();
                    Ok(Self { name, bytes })
                }
                // It is refused later, with the place.
                Err(e) => Ok(Self { name, bytes: e.into_bytes() }),
            },
            Ok(bytes) => Ok(Self { name, bytes }),
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => Err(Error::Permission {
                doing: format!("read {name}"),
                hint: "make the file readable for your user".into(),
            }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let beside = files_beside(path);
                let meant = did_you_mean(&name, beside.iter().map(String::as_str));
                let meant = meant.map_or(String::new(), |meant| format!("; {meant}"));
                Err(Error::Configuration(format!("{name}: {e}{meant}")))
            }
            Err(e) => Err(Error::Configuration(format!("{name}: {e}"))),
        }
    }
}

/// The files in the folder of a path, with the path's own folder before their names.
fn files_beside(path: &Path) -> Vec<String> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let here = if folder == Path::new("") { Path::new(".") } else { folder };
    let entries = std::fs::read_dir(here).into_iter().flatten().flatten().take(FILES);
    entries.map(|e| folder.join(e.file_name()).display().to_string()).collect()
}

/// A built-in image; if there is none of that name, what was meant.
fn built_in(name: &str) -> Result<Image, Error> {
    builtin::by_name(name).map_err(|e| match e {
        Error::Image(why) => {
            let known = builtin::all();
            let meant = did_you_mean(name, known.iter().map(|(name, _)| name.as_str()));
            Error::Image(meant.map_or(why.clone(), |meant| format!("{why}; {meant}")))
        }
        other => other,
    })
}

/// Finds what `what` names: a guest image by path or name, or a Click file, which `clickos` runs.
pub fn find(what: &str, config: Option<&Path>) -> Result<Selection, Error> {
    let path = Path::new(what);
    if path.extension().is_some_and(|e| e == "click") {
        if config.is_some() {
            return Err(Error::Configuration(format!(
                "{what} is a configuration itself, so --config cannot be given as well"
            )));
        }
        let config = Some(Config::read(path)?);
        return Ok(Selection { image: builtin::by_name("clickos")?, config });
    }
    let image =
        if path.components().count() > 1 || path.is_file() { Image::open(path)? } else { built_in(what)? };
    Ok(Selection { image, config: config.map(Config::read).transpose()? })
}

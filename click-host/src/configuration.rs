//! Where the configuration comes from: a file, standard input, or the command line.

use crate::library;
use crate::options::Origin;
use click::args::text_of;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A configuration and what messages call it.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// A file's name, or what stands for it.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Reads the configuration, with the libraries that it requires. `path`: folders to look for a file in that is not here.
pub fn read(origin: Option<&Origin>, path: Option<&str>) -> Result<Configuration, String> {
    let Configuration { name, text } = read_alone(origin, path)?;
    let text = library::expand(&name, text, path)?;
    Ok(Configuration { name, text })
}

fn read_alone(origin: Option<&Origin>, path: Option<&str>) -> Result<Configuration, String> {
    match origin {
        Some(Origin::Expression(text)) => {
            Ok(Configuration { name: "config".to_string(), text: text.clone() })
        }
        Some(Origin::File(name)) if name != "-" => {
            let file = find(name, path);
            let bytes = std::fs::read(&file).map_err(|e| format!("{name}: {}", reason(&e)))?;
            Ok(Configuration { name: name.clone(), text: text_of(&bytes) })
        }
        _ => {
            let mut bytes = Vec::new();
            let read = std::io::stdin().lock().read_to_end(&mut bytes);
            read.map_err(|e| format!("<stdin>: {}", reason(&e)))?;
            Ok(Configuration { name: "<stdin>".to_string(), text: text_of(&bytes) })
        }
    }
}

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

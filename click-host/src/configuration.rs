//! Where the configuration comes from: a file, standard input, or the command line.

use crate::files::{find, reason};
use crate::library;
use crate::options::Origin;
use click::args::text_of;
use std::io::Read;

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

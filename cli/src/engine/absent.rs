//! The command without the Click engine.

use crate::images::Config;
use crate::options::values::Addresses;
use crate::output::Failure;
use machine::error::Error;
use machine::status;
use std::path::Path;

/// The guest checks it.
pub fn check(_: &Config, _: &[(String, String)], _: &[&Addresses]) -> Result<(), Error> {
    Ok(())
}

/// The configuration as it is. The guest refuses a library, which it cannot read.
pub fn expand(_: &str, text: String) -> Result<String, Error> {
    Ok(text)
}

/// None is known.
pub fn element_names() -> impl Iterator<Item = &'static str> {
    std::iter::empty()
}

/// `microvisor elements`
pub fn elements(_: Option<&str>, _: bool, _: Option<&Path>) -> Result<(), Failure> {
    let message = "this build of the command has no manual of elements";
    Err(Failure::new(message, status::HOST).hint("build the whole command: make"))
}

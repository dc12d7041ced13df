//! The four handlers of encapsulations: `src`, `sport`, `dst`, `dport`.

use crate::args::Argument;
use crate::element::Context;
use crate::handlers::parse;
use alloc::string::{String, ToString};
use core::fmt::Display;

/// Addresses and ports that packets get.
pub(super) struct Ends<A> {
    pub source: (A, u16),
    /// Without an address: each packet's destination annotation.
    pub destination: (Option<A>, u16),
}

impl<A: Argument + Display> Ends<A> {
    pub fn read(&self, handler: &str) -> String {
        match handler {
            "src" => self.source.0.to_string(),
            "sport" => self.source.1.to_string(),
            "dst" => self.destination.0.as_ref().map_or("DST_ANNO".to_string(), ToString::to_string),
            _ => self.destination.1.to_string(),
        }
    }

    pub fn write(&mut self, cx: &Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        match handler {
            "src" => self.source.0 = parse(cx, value)?,
            "sport" => self.source.1 = parse(cx, value)?,
            "dst" if value == "DST_ANNO" => self.destination.0 = None,
            "dst" => self.destination.0 = Some(parse(cx, value)?),
            _ => self.destination.1 = parse(cx, value)?,
        }
        Ok(())
    }
}

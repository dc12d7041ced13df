//! A flat configuration as text that parses to the same.

use super::Flat;
use alloc::format;
use alloc::string::String;

/// Declarations, then connections, each in order.
pub fn print(flat: &Flat) -> String {
    let mut out = String::new();
    for e in &flat.elements {
        let config = if e.config.is_empty() { String::new() } else { format!("({})", e.config) };
        out += &format!("{} :: {}{config};\n", e.name, e.class);
    }
    for c in &flat.connections {
        let port = |n: usize| if n == 0 { String::new() } else { format!("[{n}] ") };
        let (from, to) = (&flat.elements[c.from.element].name, &flat.elements[c.to.element].name);
        out += &format!("{from} {}-> {}{to};\n", port(c.from.port), port(c.to.port));
    }
    out
}

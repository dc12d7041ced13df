//! Names the place of a fault: function, file and line, from the image or the debug file beside it.

use addr2line::Loader;
use machine::ending::Fault;
use std::path::Path;

/// Most inlined functions that are shown for one address.
const FRAMES: usize = 4;

/// The fault in words, with its place if the image has debug information.
pub fn explain(fault: &Fault, image: &Path) -> String {
    let text = fault.to_string();
    let Some(place) = fault.registers.and_then(|r| place(r.rip, image)) else { return text };
    let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
    format!("{first}\n{place}{rest}")
}

fn place(address: u64, image: &Path) -> Option<String> {
    let beside = image.with_extension("debug");
    let file = if beside.is_file() { &beside } else { image };
    let loader = Loader::new(file).ok()?;
    let mut text = String::new();
    if let Ok(mut frames) = loader.find_frames(address) {
        while let Ok(Some(frame)) = frames.next() {
            if text.lines().count() == FRAMES {
                break;
            }
            let Some(function) = &frame.function else { continue };
            let name = function.demangle().map_or_else(|_| "?".into(), |n| n.into_owned());
            let line = frame.location.and_then(|l| Some(format!(" ({}:{})", l.file?, l.line?)));
            text.push_str(&format!("  in {name}{}\n", line.unwrap_or_default()));
        }
    }
    if text.is_empty() {
        let symbol = loader.find_symbol(address)?;
        let name = addr2line::demangle_auto(symbol.into(), None);
        text = format!("  in {name}\n");
    }
    Some(text)
}

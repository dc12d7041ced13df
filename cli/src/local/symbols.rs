//! Names the place of a fault: function, file and line, from the image or the debug file beside it.

use addr2line::Context;
use addr2line::gimli::{Dwarf, EndianSlice, LittleEndian, SectionId};
use machine::ending::Fault;
use object::read::elf::{ElfFile64, ElfSymbol64};
use object::{Endianness, Object, ObjectSection, ObjectSymbol, SymbolKind};
use std::convert::Infallible;
use std::path::Path;

/// Most inlined functions that are shown for one address.
const FRAMES: usize = 4;

/// The fault in words, with its place if the image has debug information.
pub fn explain(fault: &Fault, image: &Path) -> String {
    let text = fault.to_string();
    let Some(place) = fault.registers.and_then(|r| locate(r.rip, image)) else { return text };
    let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
    format!("{first}\n{place}{rest}")
}

fn locate(address: u64, image: &Path) -> Option<String> {
    let beside = image.with_extension("debug");
    let bytes = std::fs::read(if beside.is_file() { &beside } else { image }).ok()?;
    let file = ElfFile64::<Endianness>::parse(&*bytes).ok()?;
    inlined(&file, address).or_else(|| symbol(&file, address))
}

/// The function at an address, and those that it was inlined into, each with file and line.
fn inlined(file: &ElfFile64<'_>, address: u64) -> Option<String> {
    let section = |id: SectionId| {
        let data = file.section_by_name(id.name()).and_then(|s| s.data().ok()).unwrap_or_default();
        Ok::<_, Infallible>(EndianSlice::new(data, LittleEndian))
    };
    let Ok(dwarf) = Dwarf::load(section);
    let context = Context::from_dwarf(dwarf).ok()?;
    let mut frames = context.find_frames(address).skip_all_loads().ok()?;
    let mut text = String::new();
    for _ in 0..FRAMES {
        let Ok(Some(frame)) = frames.next() else { break };
        let Some(function) = &frame.function else { continue };
        let name = function.demangle().map_or_else(|_| "?".into(), |n| n.into_owned());
        let line = frame.location.and_then(|l| Some(format!(" ({}:{})", l.file?, l.line?)));
        text.push_str(&format!("  in {name}{}\n", line.unwrap_or_default()));
    }
    (!text.is_empty()).then_some(text)
}

/// The symbol that an address lies in: all that is known of an image without line numbers.
fn symbol(file: &ElfFile64<'_>, address: u64) -> Option<String> {
    let within = |s: &ElfSymbol64<'_, '_>| {
        s.kind() == SymbolKind::Text && address.checked_sub(s.address()).is_some_and(|at| at < s.size())
    };
    let symbol = file.symbols().find(within)?;
    let name = addr2line::demangle_auto(symbol.name().ok()?.into(), None);
    Some(format!("  in {name}\n"))
}

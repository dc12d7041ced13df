//! From text to elements that are configured and whose ports fit: all that can be checked without a device.

use crate::args::{Args, Names, NamesByPlace};
use crate::diagnostic::{Diagnostics, Source};
use crate::element::{Class, DeviceInfo, Element};
use crate::elements::{DEPRECATED, Library, needs_host};
use crate::graph;
use crate::lang::{Declared, Flat, flatten::flatten, parser::parse};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::Range;

/// A configuration ready to be initialized.
pub(crate) struct Built {
    pub(crate) flat: Flat,
    pub(crate) classes: Vec<&'static Class>,
    pub(crate) ports: Vec<graph::Ports>,
    pub(crate) elements: Vec<Box<dyn Element>>,
    pub(crate) names: NamesByPlace,
    /// What is right and probably not as meant.
    pub(crate) warnings: Diagnostics,
}

/// Parses, flattens, makes the elements and checks the graph.
pub(crate) fn build(
    source: &Source<'_>,
    variables: &[(String, String)],
    library: Library,
    devices: &[(String, DeviceInfo)],
) -> Result<Built, Diagnostics> {
    let mut d = Diagnostics::default();
    let statements = parse(source, &mut d);
    let flat = flatten(source, &statements, variables, library, &mut d);
    drop(statements);
    let mut classes = Vec::with_capacity(flat.elements.len());
    for e in &flat.elements {
        match library.class(&e.class) {
            Some(class) => classes.push(class),
            None => unknown_class(source, e, library, &mut d),
        }
    }
    flat.unused.iter().filter(|e| library.class(&e.class).is_none()).for_each(|e| {
        unknown_class(source, e, library, &mut d);
    });
    if !d.is_empty() {
        return Err(d);
    }
    let names = names(source, &flat, devices, &mut d);
    let mut ports = graph::count(source, &flat, &classes, &mut d);
    let (mut warnings, mut driven) = (Diagnostics::default(), false);
    let mut made = Vec::with_capacity(classes.len());
    for ((e, class), ports) in flat.elements.iter().zip(&classes).zip(&ports) {
        let counts = (ports.inputs.len(), ports.outputs.len());
        let mut args = Args::new(&e.config, class.keywords, names.of(&e.name), counts);
        let element = (class.make)(&mut args);
        if element.is_driver() && core::mem::replace(&mut driven, true) {
            args.error("router has more than one driver script");
        }
        made.push(element);
        if let Some((_, message)) = DEPRECATED.iter().find(|(class, _)| *class == e.class) {
            args.warn(*message);
        }
        for message in args.take_warnings() {
            warnings.warn(source, e.span.clone(), format!("{} :: {}: {message}", e.name, e.class));
        }
        for (message, place) in args.finish() {
            let span = match (&e.config_span, place) {
                (Some(config), Some(place)) => config.start + place.start..config.start + place.end,
                _ => e.span.clone(),
            };
            // Where a device's name is not an address, it has none yet.
            let unnamed = message.contains(":ip'")
                || message.contains(":ipnet'")
                || message.contains(":eth'")
                || message.contains(":gw'");
            let note = "a device's name stands for its address if it exists and was given one".to_string();
            let notes = if unnamed { alloc::vec![note] } else { Vec::new() };
            d.add_with(source, span, format!("{} :: {}: {message}", e.name, e.class), notes);
        }
    }
    if d.is_empty() {
        graph::connect(source, &flat, &mut ports, &made, &mut d);
    }
    if d.is_empty() { Ok(Built { flat, classes, ports, elements: made, names, warnings }) } else { Err(d) }
}

fn unknown_class(source: &Source<'_>, e: &Declared, library: Library, d: &mut Diagnostics) {
    if needs_host(&e.class) {
        let message = format!("{} needs a host, and cannot be used in a guest", e.class);
        return d.add(source, class_span(source, e), message);
    }
    let near = library.classes().map(|c| c.name).find(|name| name.eq_ignore_ascii_case(&e.class));
    let notes = near.map(|name| format!("there is '{name}'")).into_iter().collect();
    d.add_with(source, class_span(source, e), format!("unknown element class '{}'", e.class), notes);
}

/// Where a declaration names the class: behind its `::`. An element without a name of its own stands there itself.
fn class_span(source: &Source<'_>, e: &Declared) -> Range<usize> {
    // Not in guests: what they run was checked before, and looking takes room.
    if cfg!(not(feature = "manual")) {
        return e.span.clone();
    }
    let behind = source.text.get(e.span.end..).and_then(|rest| {
        let names = rest.split("::").next()?;
        let is_of_names = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ',' || c.is_whitespace();
        let class = rest.get(names.len() + 2..).filter(|_| names.chars().all(is_of_names))?;
        class.trim_start().starts_with(&e.class[..]).then(|| source.text.len() - class.trim_start().len())
    });
    behind.map_or(e.span.clone(), |at| at..at + e.class.len())
}

/// Names for addresses: the devices' own, and those of `AddressInfo` and `PortInfo` elements.
fn names(
    source: &Source<'_>,
    flat: &Flat,
    devices: &[(String, DeviceInfo)],
    d: &mut Diagnostics,
) -> NamesByPlace {
    let mut everywhere = Names::default();
    devices.iter().for_each(|(name, facts)| everywhere.device(name, facts));
    let mut names = NamesByPlace::new(everywhere);
    // What compounds define within others builds on what is defined outside; ports come before addresses.
    let mut definers: BTreeMap<(usize, bool), Vec<&Declared>> = BTreeMap::new();
    for e in flat.elements.iter().filter(|e| matches!(&e.class[..], "PortInfo" | "AddressInfo")) {
        let depth = e.name.matches('/').count();
        definers.entry((depth, e.class == "AddressInfo")).or_default().push(e);
    }
    for ((_, addresses), elements) in definers {
        let define = if addresses { Names::define_all } else { Names::define_port };
        for e in elements {
            for argument in crate::args::split(&e.config) {
                if let Err(message) = names.define(&e.name, |names| define(names, argument)) {
                    d.add(source, e.span.clone(), format!("{} :: {}: {message}", e.name, e.class));
                }
            }
        }
    }
    names
}

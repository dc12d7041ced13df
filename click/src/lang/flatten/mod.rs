//! Compound elements replaced by what they consist of, variables by their values.

mod declare;

use super::connect::{End, Joiner};
use super::parser::{Body as Overload, ClassUse, Item, Statement, What};
use super::scope::{Meaning, Scope};
use super::uses::{self, Used};
use super::{Flat, Span};
use crate::args::split;
use crate::diagnostic::{Diagnostics, Source};
use crate::elements::Library;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;

/// Most elements of a configuration, compounds' pseudo elements included.
const ELEMENTS: usize = 1_000_000;

/// Packages of Click that are part of this library: its folders of elements, and what it is built with.
const PACKAGES: &[&str] = &[
    "analysis",
    "app",
    "aqm",
    "click",
    "clickos",
    "dpdk",
    "ethernet",
    "etherswitch",
    "fastclick",
    "icmp",
    "int64",
    "ip",
    "ip6",
    "ipsec",
    "local",
    "minios",
    "nsclick",
    "pcap",
    "simple",
    "standard",
    "tcpudp",
    "threads",
    "userlevel",
];

/// Class of a compound's `input` and `output`: they vanish when all is expanded.
pub(super) const INPUT: &str = "<input>";
pub(super) const OUTPUT: &str = "<output>";

/// Whether a class is that of a compound's `input` or `output`.
pub(super) fn is_pseudo(class: &str) -> bool {
    matches!(class, INPUT | OUTPUT)
}

/// Where a name leads: an element, or the `input` and `output` of a compound.
#[derive(Clone, Copy)]
struct Endpoints {
    input: usize,
    output: usize,
}

struct Flattener<'a> {
    source: &'a Source<'a>,
    diagnostics: &'a mut Diagnostics,
    flat: Flat,
    joiner: Joiner,
    names: BTreeMap<String, Endpoints>,
    overrides: &'a [(String, String)],
    library: Library,
    full: bool,
    /// Bodies of compounds that were looked at: those that nobody uses are looked at in the end.
    seen: BTreeSet<*const Overload>,
    /// Those whose ports were looked at.
    checked: BTreeSet<*const Overload>,
    /// What is flattened is such a body: compounds in it stay as they are.
    unused: bool,
}

/// One body: what its names are called outside, and its own `input` and `output`.
struct Body {
    prefix: String,
    endpoints: Option<Endpoints>,
    depth: usize,
    /// Elements so far: the next one without a name is called after it. A group's elements are its surroundings'.
    elements: Rc<Cell<usize>>,
}

/// A chain's item: found, or a name that may be declared further down.
enum Found {
    Faces(Endpoints),
    Later(String),
    Nothing,
}

/// Flattens statements. Values in `given` take the place of those that the configuration defines.
pub fn flatten(
    source: &Source<'_>,
    statements: &[Statement],
    given: &[(String, String)],
    library: Library,
    diagnostics: &mut Diagnostics,
) -> Flat {
    let mut f = Flattener {
        source,
        diagnostics,
        flat: Flat::default(),
        joiner: Joiner::default(),
        names: BTreeMap::new(),
        overrides: given,
        library,
        full: false,
        seen: BTreeSet::new(),
        checked: BTreeSet::new(),
        unused: false,
    };
    let mut scope = Scope::new(None);
    given.iter().for_each(|(name, value)| scope.define(name, value.clone()));
    let body = Body { prefix: String::new(), endpoints: None, depth: 0, elements: Rc::default() };
    f.body(&body, statements, &mut scope);
    scope.forget();
    let Flattener { mut flat, joiner, .. } = f;
    joiner.finish(&mut flat, source, diagnostics);
    flat
}

impl Flattener<'_> {
    #[cold]
    fn error(&mut self, span: &Span, message: impl Into<String>) {
        self.diagnostics.add(self.source, span.clone(), message);
    }

    fn body(&mut self, body: &Body, statements: &[Statement], scope: &mut Scope) {
        // Elements may be declared behind their use, so connections are made when all are known.
        let mut found = Vec::new();
        for statement in statements {
            match statement {
                Statement::Class { name, class, span } => {
                    if let ClassUse::Compound(compound) = class {
                        compound.bodies.iter().for_each(|body| self.check_ports(body, name, span));
                    }
                    let mut meaning = self.meaning(class, scope);
                    if let Meaning::Compound(compound, _, before) = &mut meaning
                        && compound.extends
                    {
                        let known = || self.library.class(name).map(|_| Meaning::Library(name.clone()));
                        *before = scope.class(name).or_else(known).map(Rc::new);
                        if before.is_none() {
                            self.error(span, format!("cannot extend unknown element class '{name}'"));
                        }
                    }
                    scope.define_class(name, meaning);
                }
                Statement::Define(span) => self.define(span, scope),
                Statement::Require(span) => self.require(span),
                Statement::Chain(chain) => {
                    for (at, (_, items)) in chain.iter().enumerate() {
                        for (which, item) in items.iter().enumerate() {
                            let first = at == 0 && chain.len() > 1;
                            let used = || match &item.what {
                                What::Declared { name: Some(name), .. } => uses::of_name(statements, name),
                                _ => uses::of_item(chain, (at, which)),
                            };
                            let it = self.item(body, item, scope, first, &used);
                            found.push(it);
                        }
                    }
                }
            }
        }
        let mut found = found.into_iter();
        for statement in statements {
            let Statement::Chain(chain) = statement else { continue };
            let mut before: Option<Vec<End>> = None;
            for (connector, items) in chain {
                let ends = self.ends(body, items, &mut found);
                if let (Some(from), Some((kind, span))) = (before, connector) {
                    let joined = self.joiner.join(*kind, span, &from, &ends);
                    if let Err(message) = joined {
                        self.error(span, message);
                    }
                }
                before = Some(ends);
            }
        }
        for statement in statements {
            if let Statement::Class { class: ClassUse::Compound(compound), span, .. } = statement {
                compound.bodies.iter().for_each(|body| self.check_body(body, span, scope));
            }
        }
    }

    /// A compound's body that was not used is looked at for mistakes: they are mistakes nevertheless.
    fn check_body(&mut self, body: &Overload, span: &Span, scope: &Scope) {
        if self.seen.contains(&core::ptr::from_ref(body)) {
            return;
        }
        self.seen.insert(body);
        let mut inner = Flattener {
            source: self.source,
            diagnostics: &mut *self.diagnostics,
            flat: Flat::default(),
            joiner: Joiner::default(),
            names: BTreeMap::new(),
            overrides: self.overrides,
            library: self.library,
            full: false,
            seen: core::mem::take(&mut self.seen),
            checked: core::mem::take(&mut self.checked),
            unused: true,
        };
        let faces = inner.endpoints("", span, 0);
        let place = Body { prefix: String::new(), endpoints: faces, depth: 1, elements: Rc::default() };
        let mut scope = Scope::new(Some(scope.clone()));
        inner.body(&place, &body.statements, &mut scope);
        scope.forget();
        let Flattener { flat, seen, checked, .. } = inner;
        (self.seen, self.checked) = (seen, checked);
        self.flat.unused.extend(flat.elements.into_iter().filter(|e| !is_pseudo(&e.class)));
        self.flat.unused.extend(flat.unused);
    }

    /// A compound's ports have numbers without gaps.
    fn check_ports(&mut self, body: &Overload, name: &str, span: &Span) {
        if self.checked.insert(body)
            && let Some((input, port)) = uses::gaps(&body.statements)
        {
            let what = if input { "input" } else { "output" };
            self.error(span, format!("'{name}' {what} {port} missing"));
        }
    }

    /// The items of a list with their ports, without those that were in error.
    fn ends(&mut self, body: &Body, items: &[Item], found: &mut impl Iterator<Item = Found>) -> Vec<End> {
        let mut ends = Vec::with_capacity(items.len());
        for (item, found) in items.iter().zip(found) {
            let faces = match found {
                Found::Faces(faces) => Some(faces),
                Found::Later(name) => {
                    let faces = self.names.get(&format!("{}{name}", body.prefix)).copied();
                    if faces.is_none() {
                        self.error(&item.span, format!("undeclared element '{name}'"));
                    }
                    faces
                }
                Found::Nothing => None,
            };
            if let Some(faces) = faces {
                ends.push(End {
                    input: faces.input,
                    output: faces.output,
                    inputs: item.inputs.clone(),
                    outputs: item.outputs.clone(),
                    span: item.span.clone(),
                });
            }
        }
        ends
    }

    fn meaning(&self, class: &ClassUse, scope: &Scope) -> Meaning {
        match class {
            ClassUse::Named(name) => scope.class(name).unwrap_or_else(|| Meaning::Library(name.clone())),
            ClassUse::Compound(compound) => Meaning::Compound(compound.clone(), scope.clone(), None),
            ClassUse::Group(compound) => Meaning::Group(compound.clone()),
        }
    }

    fn define(&mut self, span: &Span, scope: &mut Scope) {
        let text = &self.source.text[span.clone()];
        for argument in split(text) {
            let (name, value) = argument.split_once(char::is_whitespace).unwrap_or((argument, ""));
            let Some(name) = name.strip_prefix('$') else {
                self.error(span, "bad 'define' declaration: not a variable");
                continue;
            };
            if !self.overrides.iter().any(|g| g.0 == name) {
                let value = self.substituted(value.trim(), span, scope);
                scope.define(name, value);
            }
        }
    }

    /// Packages of Click are part of this library, or are not there at all.
    fn require(&mut self, span: &Span) {
        for argument in split(&self.source.text[span.clone()]) {
            let (kind, value) = argument.split_once(char::is_whitespace).unwrap_or(("package", argument));
            let value = value.trim().trim_matches('"');
            match kind {
                "package" if PACKAGES.contains(&value) => {}
                "package" => self.error(span, format!("requirement '{value}' not available")),
                "version" => {}
                _ => self.error(span, format!("requirement '{argument}' is not supported")),
            }
        }
    }

    fn substituted(&mut self, text: &str, span: &Span, scope: &Scope) -> String {
        let out = scope.substitute(text);
        if out.is_none() {
            self.error(span, "configuration string too long after variables were replaced");
        }
        out.unwrap_or_default()
    }

    fn item(
        &mut self,
        body: &Body,
        item: &Item,
        scope: &Scope,
        first: bool,
        used: &dyn Fn() -> Used,
    ) -> Found {
        let faces = match &item.what {
            What::Implicit => {
                let Some(faces) = body.endpoints else { return Found::Nothing };
                let one = if first { faces.input } else { faces.output };
                Some(Endpoints { input: one, output: one })
            }
            What::Name(name) => {
                if let (Some(faces), "input" | "output") = (body.endpoints, name.as_str()) {
                    let one = if name == "input" { faces.input } else { faces.output };
                    return Found::Faces(Endpoints { input: one, output: one });
                }
                if let Some(faces) = self.names.get(&format!("{}{name}", body.prefix)) {
                    return Found::Faces(*faces);
                }
                // The name of a class stands for an element of that class.
                if scope.class(name).is_none() && self.library.class(name).is_none() {
                    return Found::Later(name.clone());
                }
                let class = ClassUse::Named(name.clone());
                self.declare(body, None, &class, None, Use { span: &item.span, used }, scope)
            }
            What::Declared { name, class, config } => {
                let use_ = Use { span: &item.span, used };
                self.declare(body, name.as_deref(), class, config.as_ref(), use_, scope)
            }
        };
        faces.map_or(Found::Nothing, Found::Faces)
    }
}

/// Where something is used, and how many ports of it.
#[derive(Clone, Copy)]
struct Use<'a> {
    span: &'a Span,
    used: &'a dyn Fn() -> Used,
}

#[cfg(test)]
mod tests;

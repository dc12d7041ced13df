//! Compound elements replaced by what they consist of, variables by their values.

use super::connect::{End, Joiner};
use super::overload::{bind, choose, ports_text, signature};
use super::parser::{Body as Overload, ClassUse, Compound, DEPTH, Item, Statement, What};
use super::scope::{Meaning, Scope};
use super::uses::{self, Used};
use super::{Declared, Flat, Span};
use crate::args::split;
use crate::diagnostic::{Diagnostics, Source};
use crate::elements::Library;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
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

/// Where a name leads: an element, or the two faces of a compound.
#[derive(Clone, Copy)]
struct Faces {
    input: usize,
    output: usize,
}

struct Flattener<'a> {
    source: &'a Source<'a>,
    diagnostics: &'a mut Diagnostics,
    flat: Flat,
    joiner: Joiner,
    names: BTreeMap<String, Faces>,
    given: &'a [(String, String)],
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
    faces: Option<Faces>,
    depth: usize,
    /// Elements so far: the next one without a name is called after it. A group's elements are its surroundings'.
    elements: Rc<Cell<usize>>,
}

/// A chain's item: found, or a name that may be declared further down.
enum Found {
    Faces(Faces),
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
        given,
        library,
        full: false,
        seen: BTreeSet::new(),
        checked: BTreeSet::new(),
        unused: false,
    };
    let mut scope = Scope::new(None);
    given.iter().for_each(|(name, value)| scope.define(name, value.clone()));
    let body = Body { prefix: String::new(), faces: None, depth: 0, elements: Rc::default() };
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
            given: self.given,
            library: self.library,
            full: false,
            seen: core::mem::take(&mut self.seen),
            checked: core::mem::take(&mut self.checked),
            unused: true,
        };
        let faces = inner.faces("", span, 0);
        let place = Body { prefix: String::new(), faces, depth: 1, elements: Rc::default() };
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
            if !self.given.iter().any(|g| g.0 == name) {
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
                let Some(faces) = body.faces else { return Found::Nothing };
                let one = if first { faces.input } else { faces.output };
                Some(Faces { input: one, output: one })
            }
            What::Name(name) => {
                if let (Some(faces), "input" | "output") = (body.faces, name.as_str()) {
                    let one = if name == "input" { faces.input } else { faces.output };
                    return Found::Faces(Faces { input: one, output: one });
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

    fn declare(
        &mut self,
        body: &Body,
        name: Option<&str>,
        class: &ClassUse,
        config: Option<&Span>,
        Use { span, used }: Use<'_>,
        scope: &Scope,
    ) -> Option<Faces> {
        let number = body.elements.get() + 1;
        body.elements.set(number);
        let full = match name {
            Some(name) => {
                self.check_name(name, span, scope);
                format!("{}{name}", body.prefix)
            }
            None => {
                let class = if let ClassUse::Named(name) = class { name } else { "" };
                let mut names = (number..).map(|n| format!("{}{class}@{n}", body.prefix));
                names.find(|name| !self.names.contains_key(name)).unwrap_or_default()
            }
        };
        if let Some(before) = self.names.get(&full) {
            let place = self.flat.elements[before.input].span.clone();
            self.error(span, format!("redeclaration of element '{full}'"));
            self.error(&place, format!("element '{full}' previously declared here"));
            return None;
        }
        let meaning = self.meaning(class, scope);
        let text = match config {
            Some(config) => self.substituted(&self.source.text[config.clone()], config, scope),
            None => String::new(),
        };
        let faces = self.make(body, &full, meaning, (text, config), (class, Use { span, used }), scope)?;
        self.names.insert(full, faces);
        Some(faces)
    }

    fn check_name(&mut self, name: &str, span: &Span, scope: &Scope) {
        if scope.class(name).is_some() || self.library.class(name).is_some() {
            self.error(span, format!("class '{name}' used as element name"));
        } else if name.bytes().all(|b| b.is_ascii_digit()) {
            self.error(span, format!("element name '{name}' has all-digit component"));
        }
    }

    /// Makes what a class stands for.
    fn make(
        &mut self,
        body: &Body,
        full: &str,
        meaning: Meaning,
        (text, config): (String, Option<&Span>),
        (written, use_): (&ClassUse, Use<'_>),
        scope: &Scope,
    ) -> Option<Faces> {
        let span = use_.span;
        match meaning {
            Meaning::Library(class) => {
                // What a variable changed cannot be pointed at byte by byte.
                let place = config.filter(|c| self.source.text[(*c).clone()] == text).cloned();
                let one = self.element(full, class, text, span, place)?;
                Some(Faces { input: one, output: one })
            }
            Meaning::Compound(..) if self.unused && matches!(written, ClassUse::Named(_)) => {
                self.faces(full, span, body.depth)
            }
            Meaning::Compound(compound, outer, before) => match choose(&compound, &text, use_.used) {
                Some(chosen) => {
                    let mut inner = Scope::new(Some(outer));
                    let bound = bind(chosen, &text, &mut inner);
                    let faces = match bound {
                        Ok(()) => self.expand(full, chosen, span, inner.clone(), body.depth),
                        Err(()) => self.no_match(written, &text, use_, &compound),
                    };
                    inner.forget();
                    faces
                }
                None if let Some(before) = before => {
                    self.make(body, full, (*before).clone(), (text, config), (written, use_), scope)
                }
                None => self.no_match(written, &text, use_, &compound),
            },
            Meaning::Group(group) => self.group(body, full, &group, span, scope),
        }
    }

    /// No overload of a compound fits its use.
    fn no_match(
        &mut self,
        class: &ClassUse,
        config: &str,
        use_: Use<'_>,
        compound: &Compound,
    ) -> Option<Faces> {
        let name = if let ClassUse::Named(name) = class { name } else { "<anonymous>" };
        let arguments = match split(config).len() {
            0 => String::new(),
            1 => "1 argument, ".to_string(),
            n => format!("{n} arguments, "),
        };
        let message = format!("no match for '{name}[{arguments}{}]'", ports_text((use_.used)()));
        let mut notes = alloc::vec!["candidates are:".to_string()];
        notes.extend(compound.bodies.iter().map(|body| format!("  {name}{}", signature(body))));
        self.diagnostics.add_with(self.source, use_.span.clone(), message, notes);
        None
    }

    fn element(
        &mut self,
        full: &str,
        class: String,
        config: String,
        span: &Span,
        place: Option<Span>,
    ) -> Option<usize> {
        if self.flat.elements.len() >= ELEMENTS {
            if !core::mem::replace(&mut self.full, true) {
                self.error(span, format!("more than {ELEMENTS} elements"));
            }
            return None;
        }
        self.flat.elements.push(Declared {
            name: full.to_string(),
            class,
            config,
            span: span.clone(),
            config_span: place,
        });
        Some(self.flat.elements.len() - 1)
    }

    fn faces(&mut self, full: &str, span: &Span, depth: usize) -> Option<Faces> {
        if depth >= 2 * DEPTH {
            self.error(span, format!("elements nest deeper than {}", 2 * DEPTH));
            return None;
        }
        let input = self.element(full, INPUT.to_string(), String::new(), span, None)?;
        let output = self.element(full, OUTPUT.to_string(), String::new(), span, None)?;
        Some(Faces { input, output })
    }

    fn group(
        &mut self,
        body: &Body,
        full: &str,
        group: &Rc<Compound>,
        span: &Span,
        scope: &Scope,
    ) -> Option<Faces> {
        let faces = self.faces(full, span, body.depth)?;
        let inner = Body {
            prefix: body.prefix.clone(),
            faces: Some(faces),
            depth: body.depth + 1,
            elements: body.elements.clone(),
        };
        for body in &group.bodies {
            self.body(&inner, &body.statements, &mut scope.clone());
        }
        Some(faces)
    }

    fn expand(
        &mut self,
        full: &str,
        chosen: &Overload,
        span: &Span,
        mut scope: Scope,
        depth: usize,
    ) -> Option<Faces> {
        self.seen.insert(chosen);
        let faces = self.faces(full, span, depth)?;
        let body = Body {
            prefix: format!("{full}/"),
            faces: Some(faces),
            depth: depth + 1,
            elements: Rc::default(),
        };
        self.body(&body, &chosen.statements, &mut scope);
        Some(faces)
    }
}

/// Where something is used, and how many ports of it.
#[derive(Clone, Copy)]
struct Use<'a> {
    span: &'a Span,
    used: &'a dyn Fn() -> Used,
}

#[cfg(test)]
mod tests {
    use super::super::parser::parse;
    use super::*;

    fn flat(text: &str) -> (Flat, Diagnostics) {
        let source = Source { name: "x", text };
        let mut d = Diagnostics::default();
        let statements = parse(&source, &mut d);
        let f = flatten(
            &source,
            &statements,
            &[("given".to_string(), "7".to_string())],
            Library::default(),
            &mut d,
        );
        (f, d)
    }

    fn joined(text: &str) -> Vec<String> {
        let (f, d) = flat(text);
        assert!(d.is_empty(), "{d}");
        let name = |i: usize| f.elements[i].name.clone();
        let line = |c: &super::super::Connected| {
            format!("{}[{}]->[{}]{}", name(c.from.element), c.from.port, c.to.port, name(c.to.element))
        };
        let mut lines: Vec<String> = f.connections.iter().map(line).collect();
        lines.sort();
        lines
    }

    #[test]
    fn a_compound_becomes_its_parts() {
        let text = "elementclass P { $n | input -> q :: Print($n) -> output; input [1] -> Discard }
             a :: Idle; d :: Discard; p :: P(x); a -> p -> d; i :: Idle -> [1] p;";
        assert_eq!(joined(text), ["a[0]->[0]p/q", "i[0]->[0]p/Discard@2", "p/q[0]->[0]d"]);
    }

    #[test]
    fn groups_lists_and_port_by_port_connections() {
        let text =
            "t :: Tee => a :: Discard, b :: Discard; i :: Idle -> ( -> n :: Null -> ) -> t; n2 :: Null;
            t [2, 3] => [1, 0] n2";
        assert_eq!(
            joined(text),
            ["i[0]->[0]n", "n[0]->[0]t", "t[0]->[0]a", "t[1]->[0]b", "t[2]->[1]n2", "t[3]->[0]n2"]
        );
    }

    #[test]
    fn a_class_means_what_it_meant_where_it_was_used() {
        let text =
            "elementclass Null { input -> x :: Null -> output } i :: Idle -> n :: Null -> d :: Discard";
        assert_eq!(joined(text), ["i[0]->[0]n/x", "n/x[0]->[0]d"]);
    }

    #[test]
    fn given_values_take_the_place_of_defined_ones() {
        let (f, d) =
            flat("define($given 1, $own 2); a :: Print($given ${own} '$x' \"$own\"); Idle -> a -> Discard");
        assert!(d.is_empty(), "{d}");
        assert_eq!(f.elements[0].config, "7 2 '$x' \"2\"");
    }

    #[test]
    fn arguments_of_compounds_are_bound() {
        let (f, d) = flat("elementclass P { $a, K $k, __REST__ $r | Print($a/$k/$r) } P(1, K v, 2, 3); P(5)");
        assert!(d.is_empty(), "{d}");
        let configs: Vec<_> = f.elements.iter().map(|e| e.config.as_str()).collect();
        assert_eq!(configs, ["1/v/2, 3", "5//"]);
        assert!(!flat("elementclass P { $a | Print($a) } P").1.is_empty());
    }

    #[test]
    fn arguments_and_ports_choose_an_overload() {
        let x = "elementclass X { $a | input -> one :: Print($a) -> output
                   || $a, $b | input -> two :: Print($a/$b) -> output
                   || $a | input -> t :: Tee -> output; t [1] -> [1] output }";
        let ends = "i :: Idle -> x :: X";
        assert_eq!(
            joined(&format!("{x} {ends}(1, 2) -> d :: Discard")),
            ["i[0]->[0]x/two", "x/two[0]->[0]d"]
        );
        assert_eq!(
            joined(&format!("{x} {ends}(1) -> d :: Discard; x [1] -> e :: Discard")),
            ["i[0]->[0]x/t", "x/t[0]->[0]d", "x/t[1]->[0]e"]
        );
        let (_, d) = flat(&format!("{x} {ends}(1, 2, 3) -> Discard"));
        assert!(d.to_string().contains("no match for 'X[3 arguments, 1 input, 1 output]'"), "{d}");
    }

    #[test]
    fn a_class_can_add_to_what_its_name_stood_for() {
        let text = "elementclass Null { $a | input -> p :: Print($a) -> output || ... }
                    i :: Idle -> n :: Null(1) -> m :: Null -> d :: Discard";
        assert_eq!(joined(text), ["i[0]->[0]n/p", "m[0]->[0]d", "n/p[0]->[0]m"]);
    }

    #[test]
    fn port_by_port_takes_as_many_ports_as_either_side_names() {
        let e = "a, b, c :: Null; ";
        for (text, lines) in [
            ("a => [0, 1, 2] b", &["a[0]->[0]b", "a[1]->[1]b", "a[2]->[2]b"][..]),
            ("a [1, 3] => b", &["a[1]->[0]b", "a[3]->[1]b"]),
            ("a [] => [1, 2] b", &["a[0]->[1]b", "a[1]->[2]b"]),
            ("a [2,] => b, c", &["a[2]->[0]b", "a[3]->[0]c"]),
            ("a, b => [0,] c", &["a[0]->[0]c", "b[0]->[1]c"]),
            ("a => b", &["a[0]->[0]b"]),
            ("a [0] => [0, 1] b", &["a[0]->[0]b", "a[0]->[1]b"]),
            ("a, b -> c", &["a[0]->[0]c", "b[0]->[0]c"]),
            ("a => (input => [1, 0] output) => b", &["a[0]->[1]b", "a[1]->[0]b"]),
        ] {
            assert_eq!(joined(&format!("{e}{text}")), lines, "{text}");
        }
        for (text, wrong) in [
            ("a [0, 1, 2] -> [0, 1, 2] b", "many-to-many connections require '=>'"),
            ("a [0, 1] => [0, 1, 2] b", "connection mismatch: 2 outputs connected to 3 inputs"),
            ("a [0, 1, 2] => b, [0] c", "connection mismatch: 3 outputs connected to 2 inputs"),
            ("a [] => [] b", "at most one expandable port allowed per connection"),
            ("[1] a -> b", "input ports ignored at start of chain"),
            ("a -> b [1]", "output ports ignored at end of chain"),
            ("a [x] -> b", "port number should be integer"),
            ("-> a", "syntax error near '->'"),
        ] {
            let (_, d) = flat(&format!("{e}{text}"));
            assert!(d.to_string().contains(wrong), "{text}: {d}");
        }
    }

    #[test]
    fn a_class_is_spread_over_a_list_that_stands_alone() {
        assert_eq!(joined("a, b :: Null; c :: Idle -> a, d :: Discard"), ["c[0]->[0]a", "c[0]->[0]d"]);
        assert!(flat("a, b :: Null -> c :: Discard").1.to_string().contains("undeclared element 'a'"));
    }

    #[test]
    fn growth_is_bounded() {
        let mut classes = "elementclass C0 { input -> Null -> output }\n".to_string();
        let mut variables = "define($v0 xxxxxxxxxx);\n".to_string();
        for i in 1..40 {
            classes += &format!("elementclass C{i} {{ input -> C{} -> C{} -> output }}\n", i - 1, i - 1);
            variables += &format!("define($v{i} $v{}$v{});\n", i - 1, i - 1);
        }
        assert!(!flat(&(classes + "C20")).1.is_empty());
        assert!(!flat(&variables).1.is_empty());
    }

    #[test]
    fn unknown_names_are_noted() {
        let (_, d) = flat("a -> b; c :: Print($nothing);");
        assert_eq!(d.list.len(), 2, "{d}");
    }

    #[test]
    fn a_variable_without_a_value_stays() {
        let (f, d) = flat("Print($nothing ${x[0]})");
        assert!(d.is_empty(), "{d}");
        assert_eq!(f.elements[0].config, "$nothing ${x[0]}");
    }
}

//! Elements of the flat configuration: a declaration makes one, or expands what its class stands for.

use super::{Body, ELEMENTS, Endpoints, Flattener, INPUT, OUTPUT, Overload, Use};
use crate::args::split;
use crate::lang::overload::{bind, choose, ports_text, signature};
use crate::lang::parser::{ClassUse, Compound, DEPTH};
use crate::lang::scope::{Meaning, Scope};
use crate::lang::{Declared, Span};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};

impl Flattener<'_> {
    pub(super) fn declare(
        &mut self,
        body: &Body,
        name: Option<&str>,
        class: &ClassUse,
        config: Option<&Span>,
        Use { span, used }: Use<'_>,
        scope: &Scope,
    ) -> Option<Endpoints> {
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
    ) -> Option<Endpoints> {
        let span = use_.span;
        match meaning {
            Meaning::Library(class) => {
                // What a variable changed cannot be pointed at byte by byte.
                let place = config.filter(|c| self.source.text[(*c).clone()] == text).cloned();
                let one = self.element(full, class, text, span, place)?;
                Some(Endpoints { input: one, output: one })
            }
            Meaning::Compound(..) if self.unused && matches!(written, ClassUse::Named(_)) => {
                self.endpoints(full, span, body.depth)
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
    ) -> Option<Endpoints> {
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

    pub(super) fn endpoints(&mut self, full: &str, span: &Span, depth: usize) -> Option<Endpoints> {
        if depth >= 2 * DEPTH {
            self.error(span, format!("elements nest deeper than {}", 2 * DEPTH));
            return None;
        }
        let input = self.element(full, INPUT.to_string(), String::new(), span, None)?;
        let output = self.element(full, OUTPUT.to_string(), String::new(), span, None)?;
        Some(Endpoints { input, output })
    }

    fn group(
        &mut self,
        body: &Body,
        full: &str,
        group: &Rc<Compound>,
        span: &Span,
        scope: &Scope,
    ) -> Option<Endpoints> {
        let faces = self.endpoints(full, span, body.depth)?;
        let inner = Body {
            prefix: body.prefix.clone(),
            endpoints: Some(faces),
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
    ) -> Option<Endpoints> {
        self.seen.insert(chosen);
        let faces = self.endpoints(full, span, depth)?;
        let body = Body {
            prefix: format!("{full}/"),
            endpoints: Some(faces),
            depth: depth + 1,
            elements: Rc::default(),
        };
        self.body(&body, &chosen.statements, &mut scope);
        Some(faces)
    }
}

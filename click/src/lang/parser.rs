//! Statements of a configuration. Recursion is bounded by [`DEPTH`]: a guest's stack is small.

use super::Span;
use super::lexer::{Kind, Lexer, Token};
use super::uses;
use crate::diagnostic::{Diagnostics, Source};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Deepest nesting of compound elements and groups.
pub const DEPTH: usize = 50;
/// Port numbers lie below.
pub const PORTS: usize = 1 << 16;

/// A class as it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClassUse {
    /// By name.
    Named(String),
    /// `{ ... }` in place.
    Compound(Rc<Compound>),
    /// `( ... )` in place: its names are those of its surroundings.
    Group(Rc<Compound>),
}

/// A compound element's definition: overloads, of which the arguments and ports of each use choose one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compound {
    /// In the order they are written.
    pub bodies: Vec<Body>,
    /// Whether it adds to what its name stood for before (`...`).
    pub extends: bool,
}

/// One overload of a compound element.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body {
    /// Parameters: variable, and the keyword that names it in a call.
    pub parameters: Vec<(String, Option<String>)>,
    /// What it consists of.
    pub statements: Vec<Statement>,
}

/// What stands in a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A name: of an element, or of a class that one is made of.
    Name(String),
    /// A declaration, with or without a name.
    Declared {
        /// Name of the element.
        name: Option<String>,
        /// Class.
        class: ClassUse,
        /// Text between the parentheses.
        config: Option<Span>,
    },
    /// Nothing: ports alone stand for `input` at the beginning of a chain, and for `output` at its end.
    Implicit,
}

/// Ports between brackets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    /// Their numbers.
    pub numbers: Vec<usize>,
    /// `[]`, `[0,]`: and those behind the last, as many as the other side has.
    pub more: bool,
}

/// One element in a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The element.
    pub what: What,
    /// Input ports in front of it.
    pub inputs: Option<Ports>,
    /// Output ports behind it.
    pub outputs: Option<Ports>,
    /// Where its name stands.
    pub span: Span,
}

/// What joins two items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connector {
    /// `->`: all to all.
    All,
    /// `=>`: port by port.
    Each,
}

/// A list of items, and the connector in front of it (for all but the first of a chain).
pub type Link = (Option<(Connector, Span)>, Vec<Item>);

/// A statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// `a, b :: Class(config) -> c => d, e`: lists of items, and the connector in front of each but the first.
    Chain(Vec<Link>),
    /// `elementclass Name { ... }` or `elementclass Name Other`
    Class {
        /// Name that is defined.
        name: String,
        /// What it stands for.
        class: ClassUse,
        /// Where the name is.
        span: Span,
    },
    /// `define($a b, ...)`
    Define(Span),
    /// `require(...)`
    Require(Span),
}

struct Parser<'s, 'd> {
    source: &'s Source<'s>,
    lexer: Lexer<'s>,
    next: Token,
    diagnostics: &'d mut Diagnostics,
    depth: usize,
}

/// A statement that could not be read; the error is noted.
struct Broken;

/// Parses a whole configuration, noting all errors.
pub fn parse(source: &Source<'_>, diagnostics: &mut Diagnostics) -> Vec<Statement> {
    let mut lexer = Lexer::new(source.text);
    let next = lexer.token();
    let mut parser = Parser { source, lexer, next, diagnostics, depth: 0 };
    parser.statements(None)
}

impl<'s> Parser<'s, '_> {
    fn take(&mut self) -> Token {
        core::mem::replace(&mut self.next, self.lexer.token())
    }

    fn at(&self, mark: char) -> bool {
        self.next.kind == Kind::Mark(mark)
    }

    fn accept(&mut self, kind: Kind) -> bool {
        let is = self.next.kind == kind;
        if is {
            self.take();
        }
        is
    }

    fn text(&self, token: &Token) -> &'s str {
        self.lexer.text(token)
    }

    #[cold]
    fn error(&mut self, span: Span, message: impl Into<String>) -> Broken {
        self.diagnostics.add(self.source, span, message);
        Broken
    }

    #[cold]
    fn expected(&mut self, what: &str) -> Broken {
        let message = format!("syntax error near '{}'", self.text(&self.next));
        let note = alloc::vec![format!("expected {what}")];
        self.diagnostics.add_with(self.source, self.next.span.clone(), message, note);
        Broken
    }

    /// Statements up to `end`, which is not taken, or the end of the file.
    fn statements(&mut self, end: Option<char>) -> Vec<Statement> {
        let mut statements = Vec::new();
        // An overload ends where the next begins.
        let ends = |kind| match kind {
            Kind::End => true,
            Kind::TwoBars => end == Some('}'),
            Kind::Mark(mark) => end == Some(mark),
            _ => false,
        };
        while !ends(self.next.kind) {
            if self.accept(Kind::Mark(';')) {
                continue;
            }
            let before = self.next.span.clone();
            match self.statement() {
                Ok(statement) => statements.push(statement),
                Err(Broken) => {
                    // Goes on behind the next semicolon.
                    if self.next.span == before {
                        self.take();
                    }
                    while !ends(self.next.kind) && !self.at(';') {
                        self.take();
                    }
                }
            }
        }
        statements
    }

    fn statement(&mut self) -> Result<Statement, Broken> {
        if self.next.kind == Kind::Word {
            match self.text(&self.next) {
                "elementclass" => return self.class_statement(),
                "define" => {
                    self.take();
                    return self.configuration().map(Statement::Define);
                }
                "require" => {
                    self.take();
                    return self.configuration().map(Statement::Require);
                }
                "provide" => {
                    self.take();
                    self.configuration()?;
                    return Ok(Statement::Chain(Vec::new()));
                }
                _ => {}
            }
        }
        self.chain()
    }

    fn chain(&mut self) -> Result<Statement, Broken> {
        let mut chain: Vec<Link> = Vec::new();
        let mut connector = if self.depth > 0 { self.connector() } else { None };
        if connector.is_some() {
            // `-> a` in a group: from its input.
            let span = self.next.span.clone();
            let input =
                Item { what: What::Implicit, inputs: None, outputs: None, span: span.start..span.start };
            chain.push((None, alloc::vec![input]));
        }
        loop {
            let ended = matches!(self.next.kind, Kind::End | Kind::TwoBars | Kind::Mark(';' | '}' | ')'));
            if ended && connector.is_some() && self.depth > 0 {
                let span = self.next.span.start..self.next.span.start;
                let output = Item { what: What::Implicit, inputs: None, outputs: None, span };
                chain.push((connector, alloc::vec![output]));
                break;
            }
            let items = self.list(chain.is_empty())?;
            chain.push((connector.take(), items));
            connector = self.connector();
            if connector.is_none() {
                break;
            }
        }
        self.check_ends(&mut chain);
        // As in Click, a semicolon may be left out where a new statement visibly begins.
        if !matches!(
            self.next.kind,
            Kind::Mark(';' | '}' | ')' | '[') | Kind::End | Kind::TwoBars | Kind::Word
        ) {
            return Err(self.expected("'->', '=>', '::' or ';'"));
        }
        Ok(Statement::Chain(chain))
    }

    fn connector(&mut self) -> Option<(Connector, Span)> {
        let connector = match self.next.kind {
            Kind::Arrow => Connector::All,
            Kind::FatArrow => Connector::Each,
            _ => return None,
        };
        Some((connector, self.take().span))
    }

    /// Ports where the chain does not go on.
    fn check_ends(&mut self, chain: &mut [Link]) {
        let named = |item: &&Item| item.what != What::Implicit;
        if let Some((_, items)) = chain.first()
            && let Some(item) = items.iter().filter(named).find(|i| i.inputs.is_some())
        {
            self.error(item.span.clone(), "input ports ignored at start of chain");
        }
        if let Some((_, items)) = chain.last()
            && let Some(item) = items.iter().filter(named).find(|i| i.outputs.is_some())
        {
            self.error(item.span.clone(), "output ports ignored at end of chain");
        }
        // A group has the ports that its statements use, unless others are named.
        for item in chain.iter_mut().flat_map(|link| &mut link.1) {
            if let What::Declared { class: ClassUse::Group(group), .. } = &item.what {
                let (inputs, outputs) = uses::of_group(group);
                let all = |width: usize| Ports { numbers: (0..width).collect(), more: false };
                item.inputs.get_or_insert_with(|| all(inputs));
                item.outputs.get_or_insert_with(|| all(outputs));
            }
        }
    }

    /// `[0] a [1], b :: Class(config)`. `first`: no connector is in front.
    fn list(&mut self, first: bool) -> Result<Vec<Item>, Broken> {
        let mut items = alloc::vec![self.item()?];
        while self.accept(Kind::Mark(',')) {
            items.push(self.item()?);
        }
        // `a, b :: Class(config);`: all are declared.
        let connected = matches!(self.next.kind, Kind::Arrow | Kind::FatArrow);
        if first
            && !connected
            && items.iter().all(|i| i.inputs.is_none() && i.outputs.is_none())
            && let Some((last, others)) = items.split_last_mut()
            && let What::Declared { name: Some(_), class, config } = &last.what
            && others.iter().all(|i| matches!(i.what, What::Name(_)))
        {
            for item in others {
                if let What::Name(name) = &item.what {
                    let (name, class, config) = (Some(name.clone()), class.clone(), config.clone());
                    item.what = What::Declared { name, class, config };
                }
            }
        }
        Ok(items)
    }

    /// `[1, 2]`, `[]`, `[1,]`
    fn ports(&mut self) -> Result<Option<Ports>, Broken> {
        if !self.accept(Kind::Mark('[')) {
            return Ok(None);
        }
        let mut ports = Ports::default();
        loop {
            if self.accept(Kind::Mark(']')) {
                ports.more = true;
                if ports.numbers.is_empty() {
                    ports.numbers.push(0);
                }
                return Ok(Some(ports));
            }
            let token = self.take();
            if token.kind != Kind::Word {
                return Err(self.error(token.span, "syntax error: expected port number"));
            }
            let Ok(number) = self.text(&token).parse::<usize>() else {
                return Err(self.error(token.span, "syntax error: port number should be integer"));
            };
            if number >= PORTS {
                return Err(self.error(token.span, format!("port number must be below {PORTS}")));
            }
            ports.numbers.push(number);
            if self.accept(Kind::Mark(']')) {
                return Ok(Some(ports));
            }
            if !self.accept(Kind::Mark(',')) {
                return Err(self.error(self.next.span.clone(), "syntax error: expected ','"));
            }
        }
    }

    /// An element with its ports: `[1] name(config) [2]`.
    fn item(&mut self) -> Result<Item, Broken> {
        let start = self.next.span.clone();
        let inputs = self.ports()?;
        let span = self.next.span.clone();
        let what = match self.next.kind {
            Kind::Word => {
                let token = self.take();
                let name = self.text(&token).to_string();
                if self.accept(Kind::TwoColons) {
                    let class = self.class()?;
                    let config = if self.at('(') { Some(self.configuration()?) } else { None };
                    What::Declared { name: Some(name), class, config }
                } else if self.at('(') {
                    let config = Some(self.configuration()?);
                    What::Declared { name: None, class: ClassUse::Named(name), config }
                } else {
                    What::Name(name)
                }
            }
            Kind::Mark('{' | '(') => {
                let class = self.class()?;
                let config = if self.at('(') { Some(self.configuration()?) } else { None };
                What::Declared { name: None, class, config }
            }
            _ if inputs.is_some() && self.depth > 0 => {
                // Before an arrow the ports are outputs of `input`, at the end inputs of `output`.
                let arrow = matches!(self.next.kind, Kind::Arrow | Kind::FatArrow);
                let (inputs, outputs) = if arrow { (None, inputs) } else { (inputs, None) };
                return Ok(Item { what: What::Implicit, inputs, outputs, span: start });
            }
            _ => return Err(self.expected("an element")),
        };
        let outputs = self.ports()?;
        Ok(Item { what, inputs, outputs, span })
    }

    fn class(&mut self) -> Result<ClassUse, Broken> {
        match self.next.kind {
            Kind::Word => {
                let token = self.take();
                Ok(ClassUse::Named(self.text(&token).to_string()))
            }
            Kind::Mark('{') => self.compound('}').map(ClassUse::Compound),
            Kind::Mark('(') => self.compound(')').map(ClassUse::Group),
            _ => Err(self.expected("a class name")),
        }
    }

    fn class_statement(&mut self) -> Result<Statement, Broken> {
        self.take();
        if self.next.kind != Kind::Word {
            return Err(self.expected("a class name"));
        }
        let token = self.take();
        let class = self.class()?;
        Ok(Statement::Class { name: self.text(&token).to_string(), class, span: token.span })
    }

    fn compound(&mut self, end: char) -> Result<Rc<Compound>, Broken> {
        let open = self.take();
        if self.depth >= DEPTH {
            let what = if end == '}' { "compound element" } else { "element group" };
            self.error(open.span, format!("maximum {what} nesting depth exceeded"));
            self.skip_nested();
            return Err(Broken);
        }
        let mut compound = Compound::default();
        loop {
            if end == '}' && self.accept(Kind::Dots) {
                compound.extends = true;
                break;
            }
            let parameters = if end == '}' { self.parameters()? } else { Vec::new() };
            self.depth += 1;
            let statements = self.statements(Some(end));
            self.depth -= 1;
            compound.bodies.push(Body { parameters, statements });
            if end == ')' || !self.accept(Kind::TwoBars) {
                break;
            }
        }
        if !self.accept(Kind::Mark(end)) {
            return Err(self.error(open.span, format!("syntax error: this has no '{end}'")));
        }
        Ok(Rc::new(compound))
    }

    /// To the end of what was nested too deep, so that the error is said once.
    fn skip_nested(&mut self) {
        let mut depth = 1usize;
        while depth > 0 && self.next.kind != Kind::End {
            match self.take().kind {
                Kind::Mark('{' | '(') => depth += 1,
                Kind::Mark('}' | ')') => depth -= 1,
                _ => {}
            }
        }
    }

    /// `$a, KEYWORD $b |`
    fn parameters(&mut self) -> Result<Vec<(String, Option<String>)>, Broken> {
        let mut parameters = Vec::new();
        let mut ahead = self.lexer.clone();
        let starts = self.next.kind == Kind::Variable
            || self.at('|')
            || (self.next.kind == Kind::Word && ahead.token().kind == Kind::Variable);
        if !starts {
            return Ok(parameters);
        }
        while !self.accept(Kind::Mark('|')) {
            let keyword = if self.next.kind == Kind::Word { Some(self.take()) } else { None };
            let keyword = keyword.map(|t| self.text(&t).to_string());
            if self.next.kind != Kind::Variable {
                return Err(self.expected("a parameter, '$name'"));
            }
            let token = self.take();
            parameters.push((self.text(&token).trim_start_matches('$').to_string(), keyword));
            if !self.accept(Kind::Mark(',')) && !self.at('|') {
                return Err(self.expected("',' or '|'"));
            }
        }
        Ok(parameters)
    }

    /// `( ... )`: the text in between.
    fn configuration(&mut self) -> Result<Span, Broken> {
        if !self.at('(') {
            return Err(self.expected("'('"));
        }
        let open = self.next.span.clone();
        // The lexer stands behind `(`, the token read ahead.
        let span = self.lexer.configuration();
        self.next = self.lexer.token();
        span.ok_or_else(|| self.error(open, "syntax error: this '(' has no ')'"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Vec<Statement>, Diagnostics) {
        let mut d = Diagnostics::default();
        let s = parse(&Source { name: "x", text }, &mut d);
        (s, d)
    }

    #[test]
    fn a_chain_keeps_its_ports() {
        let (s, d) = parsed("a :: A(1) [2] -> [3, 4] b [] -> [5,] c; c, d :: B;");
        assert!(d.is_empty(), "{d}");
        let Statement::Chain(chain) = &s[0] else { panic!() };
        let ports = |numbers: &[usize], more| Some(Ports { numbers: numbers.to_vec(), more });
        assert_eq!(chain[0].1[0].outputs, ports(&[2], false));
        assert_eq!(chain[1].1[0].inputs, ports(&[3, 4], false));
        assert_eq!(chain[1].1[0].outputs, ports(&[0], true));
        assert_eq!(chain[2].1[0].inputs, ports(&[5], true));
        assert!(matches!(&s[1], Statement::Chain(c) if c[0].1.len() == 2));
    }

    #[test]
    fn every_broken_statement_is_noted_and_the_rest_is_read() {
        let (s, d) = parsed("a :: ; b -> -> c; d :: D; e [x] -> f;");
        assert_eq!(d.list.len(), 3, "{d}");
        assert_eq!(s.len(), 1);
    }

    #[test]
    fn what_nests_too_deep_is_one_error() {
        for (open, close) in [("{", "}"), ("(", ")")] {
            let (_, d) = parsed(&(open.repeat(10_000) + &close.repeat(10_000) + "; a :: A"));
            assert_eq!(d.list.len(), 1, "{d}");
            assert!(!parsed(&open.repeat(10_000)).1.is_empty());
        }
    }
}

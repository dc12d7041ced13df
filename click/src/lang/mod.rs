//! Text to a flat configuration: [`lexer`] cuts words, [`parser`] makes statements, [`flatten`] replaces compound
//! elements by what they consist of ([`overload`] says which of several is meant, [`connect`] joins their ports), and
//! [`print`] writes a flat configuration as text.

mod connect;
pub mod flatten;
pub mod lexer;
mod overload;
pub mod parser;
pub mod print;
mod scope;
mod uses;

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

/// Bytes of the source.
pub type Span = Range<usize>;

/// An element of the flat configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Full name: `outer/inner` inside compounds.
    pub name: String,
    /// Class.
    pub class: String,
    /// Configuration with variables replaced, empty if none.
    pub config: String,
    /// Where it is declared.
    pub span: Span,
    /// Where its configuration stands in the source, if no variable changed it.
    pub config_span: Option<Span>,
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Port {
    /// Index of the element.
    pub element: usize,
    /// Number of its port.
    pub port: usize,
}

/// A connection of the flat configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connected {
    /// Output.
    pub from: Port,
    /// Input.
    pub to: Port,
    /// Where it is written.
    pub span: Span,
}

/// A configuration without compounds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flat {
    /// Elements in the order of their declaration.
    pub elements: Vec<Declared>,
    /// Those of compounds that nobody uses: their classes must exist, and no more.
    pub unused: Vec<Declared>,
    /// Connections in the order they are written.
    pub connections: Vec<Connected>,
}

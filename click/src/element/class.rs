//! A class of elements: its ports, keywords, handlers and manual page, and the macro that declares it.

use super::Element;
use crate::args::Args;
use alloc::boxed::Box;

/// How packets move through a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// The element at the output starts the transfer.
    Push,
    /// The element at the input starts the transfer.
    Pull,
    /// Push or pull, as the other side requires; all agnostic ports of an element are the same.
    Agnostic,
}

/// A class of elements.
#[derive(Debug)]
pub struct Class {
    /// Its name.
    pub name: &'static str,
    /// Numbers of input and output ports, in Click's notation: `1/1`, `1/1-2`, `-/=`.
    pub ports: &'static str,
    /// Processing of the ports, in Click's notation: `h` push, `l` pull, `a` agnostic; the last letter repeats: `a/ah`. All
    /// agnostic ports are the same; with `/#` at the end, only those of the same number; with `/x`, each is as its neighbour.
    pub processing: &'static str,
    /// Keywords of its arguments.
    pub keywords: &'static [&'static str],
    /// Its handlers, in addition to those that every element has.
    pub handlers: &'static [Handler],
    /// Its manual page, line by line; empty without the feature `manual`, to keep guest images small.
    pub manual: &'static [&'static str],
    /// Creates an element.
    pub make: fn(&mut Args<'_>) -> Box<dyn Element>,
}

/// A type that implements a class; [`element!`](crate::element!) implements this trait.
pub trait Described: Sized {
    /// The class.
    const CLASS: Class;
}

/// Declares an element's type: its documentation, ports, processing, keywords, handlers and fields in one place.
///
/// The documentation says in its first sentence what the element does, then its arguments and handlers under headings.
/// The type needs `fn new(args: &mut Args<'_>) -> Self` and an implementation of [`Element`].
#[macro_export]
macro_rules! element {
    (
        $(#[doc = $doc:literal])*
        $name:ident $ports:literal $processing:literal
        $(keywords [$($keyword:literal),* $(,)?])?
        $(handlers [$($handler:expr),* $(,)?])?
        { $($fields:tt)* }
    ) => {
        $(#[doc = $doc])*
        pub struct $name { $($fields)* }

        impl $crate::element::Described for $name {
            const CLASS: $crate::element::Class = $crate::element::Class {
                name: stringify!($name),
                ports: $ports,
                processing: $processing,
                keywords: &[$($($keyword),*)?],
                handlers: &[$($($handler),*)?],
                #[cfg(feature = "manual")]
                manual: &[$($doc),*],
                #[cfg(not(feature = "manual"))]
                manual: &[],
                make: |args| alloc::boxed::Box::new($name::new(args)),
            };
        }
    };
}

/// A handler of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handler {
    /// Its name; `*` is for all names that the class does not list.
    pub name: &'static str,
    /// Whether it can be read.
    pub read: bool,
    /// Whether it can be written.
    pub write: bool,
    /// If it is an argument with the keyword of the same name: its position, if the keyword may be omitted. Writing it creates the
    /// element again.
    pub argument: Option<usize>,
}

/// A read handler.
pub const fn read(name: &'static str) -> Handler {
    Handler { name, read: true, write: false, argument: None }
}
/// A write handler.
pub const fn write(name: &'static str) -> Handler {
    Handler { name, read: false, write: true, argument: None }
}
/// A read and write handler.
pub const fn read_write(name: &'static str) -> Handler {
    Handler { name, read: true, write: true, argument: None }
}

/// A handler for the argument of the same name, which may be positional argument `position`.
pub const fn argument(name: &'static str, position: usize) -> Handler {
    Handler { name, read: true, write: true, argument: Some(position) }
}
/// A handler for the argument of the same name, which always needs its keyword.
pub const fn keyword(name: &'static str) -> Handler {
    argument(name, usize::MAX)
}

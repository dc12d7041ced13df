//! A class of elements: its ports, keywords, handlers and manual page, and the macro that declares it.

use super::Element;
use crate::args::Args;
use alloc::boxed::Box;

/// What a port does with packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// The output's element starts the transfer.
    Push,
    /// The input's element does.
    Pull,
    /// Whatever the other side wants; all agnostic ports of an element agree.
    Agnostic,
}

/// A class of elements.
#[derive(Debug)]
pub struct Class {
    /// Its name.
    pub name: &'static str,
    /// How many ports, as Click writes it: `1/1`, `1/1-2`, `-/=`.
    pub ports: &'static str,
    /// What they do, as Click writes it: `h` push, `l` pull, `a` agnostic, the last letter repeats: `a/ah`. All agnostic
    /// ports do the same, with `/#` behind it those of the same number, with `/x` each as its neighbour does.
    pub processing: &'static str,
    /// Keywords of its arguments.
    pub keywords: &'static [&'static str],
    /// Its handlers, beside those that every element has.
    pub handlers: &'static [Handler],
    /// Its page of the manual, line by line; empty without the feature `manual`, so that guests do not carry it.
    pub manual: &'static [&'static str],
    /// Makes one.
    pub make: fn(&mut Args<'_>) -> Box<dyn Element>,
}

/// A type of element that belongs to a class; [`element!`](crate::element!) says so.
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
    /// Its name; `*` stands for all names that the class does not list.
    pub name: &'static str,
    /// It has a value.
    pub read: bool,
    /// It can be written.
    pub write: bool,
    /// It is an argument, under the keyword of its name: which of those without one, if it may stand without. Written, it has
    /// the element made anew.
    pub argument: Option<usize>,
}

/// A handler with a value.
pub const fn read(name: &'static str) -> Handler {
    Handler { name, read: true, write: false, argument: None }
}
/// A handler to write.
pub const fn write(name: &'static str) -> Handler {
    Handler { name, read: false, write: true, argument: None }
}
/// A handler with a value that can be changed.
pub const fn read_write(name: &'static str) -> Handler {
    Handler { name, read: true, write: true, argument: None }
}

/// A handler of the argument of its name. `position`: which of those without a keyword it may be.
pub const fn argument(name: &'static str, position: usize) -> Handler {
    Handler { name, read: true, write: true, argument: Some(position) }
}
/// A handler of the argument of its name, which always has its keyword.
pub const fn keyword(name: &'static str) -> Handler {
    argument(name, usize::MAX)
}

//! Names of handlers as a script writes them, and what its words for yes and no mean.

use super::instruction::cut;
use crate::element::Context;
use crate::handlers::is_global;
use alloc::format;
use alloc::string::{String, ToString};

/// Whether a text means yes; none if it means neither.
pub(super) fn truth(text: &str) -> Option<bool> {
    match text.trim() {
        "0" | "n" | "f" | "no" | "false" => Some(false),
        "1" | "y" | "t" | "yes" | "true" => Some(true),
        _ => None,
    }
}

/// A handler named from where the script stands: inside of a compound element first.
pub(super) fn near(cx: &Context<'_>, handler: &str) -> String {
    let element = handler.split(['.', ' ']).next().unwrap_or("");
    let mut prefix = cx.name();
    while let Some((outer, _)) = prefix.rsplit_once('/') {
        if cx.has_element(&format!("{outer}/{element}")) {
            return format!("{outer}/{handler}");
        }
        prefix = outer;
    }
    handler.to_string()
}

/// A handler's full name.
pub(super) fn full_name(cx: &Context<'_>, handler: &str) -> String {
    let (name, _) = cut(handler);
    if name.contains('.') || is_global(name) { near(cx, name) } else { format!("{}.{name}", cx.name()) }
}

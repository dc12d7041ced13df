//! What scripts reach: handlers, named from where the script stands, functions, and where texts are printed.

use super::function::call;
use super::instruction::cut;
use super::value::Values;
use crate::args::parse_number;
use crate::element::Context;
use crate::handlers::is_global;
use alloc::format;
use alloc::string::{String, ToString};

/// Whether a text means yes; none if it means neither.
pub(super) fn truth(text: &str) -> Option<bool> {
    match text.trim() {
        "" | "0" | "false" | "no" => Some(false),
        "1" | "true" | "yes" => Some(true),
        number => parse_number(number).map(|n| n > 0),
    }
}

/// Writes a text to a file (`-`: the standard output), or to the standard output.
#[cfg(feature = "host")]
pub(super) fn write_out(
    cx: &mut Context<'_>,
    file: Option<&str>,
    append: bool,
    text: &str,
) -> Result<(), String> {
    match (cx.host.outside(), file.filter(|f| *f != "-")) {
        (Some(outside), Some(file)) => outside.write_file(file, append, text)?,
        (None, Some(_)) => return Err("files need a host, and cannot be used in a guest".to_string()),
        (Some(outside), None) => outside.write_out(text),
        (None, None) => cx.host.print(text),
    }
    Ok(())
}

/// A handler named from where the script stands: inside of a compound element first.
fn near(cx: &Context<'_>, handler: &str) -> String {
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

/// Value of a handler or a function. A script's own functions need no name in front.
pub(super) fn read_near(cx: &mut Context<'_>, values: &Values, handler: &str) -> Result<String, String> {
    let handler = handler.trim_start();
    // One blank stands behind the name; others are the argument's.
    let (name, argument) = handler.split_once(char::is_whitespace).unwrap_or((handler, ""));
    if name.is_empty() {
        return Ok(String::new());
    }
    let own = name.rsplit_once('.').filter(|(element, _)| cx.find(element) == Some(cx.id()));
    let name = own.map_or(name, |(_, name)| name);
    if let Some(value) = call(cx, name, argument).or_else(|| values.read(name, argument).map(Ok)) {
        return value;
    }
    let handler = near(cx, handler);
    cx.read_handler(&handler).map_err(|e| e.to_string())
}

/// A handler's full name.
pub(super) fn full_name(cx: &Context<'_>, handler: &str) -> String {
    let (name, _) = cut(handler);
    if name.contains('.') || is_global(name) { near(cx, name) } else { format!("{}.{name}", cx.name()) }
}

/// Writes a handler.
pub(super) fn write_near(cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
    let handler = near(cx, handler.trim());
    cx.write_handler(&handler, value).map_err(|e| e.to_string())
}

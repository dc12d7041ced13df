//! Which of a compound's overloads a use means, and what its parameters are there.

use super::parser::{Body as Overload, Compound};
use super::scope::Scope;
use super::uses::{self, Used};
use crate::args::split;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// The overload that arguments and ports fit; the only one, whether they fit or not, unless there are others elsewhere.
pub(super) fn choose<'c>(
    compound: &'c Compound,
    config: &str,
    used: &dyn Fn() -> Used,
) -> Option<&'c Overload> {
    if let ([only], false) = (&compound.bodies[..], compound.extends) {
        return Some(only);
    }
    let used = used();
    let fits = |body: &&Overload| {
        let mut scratch = Scope::new(None);
        uses::of_body(&body.statements) == used && bind(body, config, &mut scratch).is_ok()
    };
    compound.bodies.iter().find(fits)
}

/// `1 input, 2 outputs`
pub(super) fn ports_text((inputs, outputs): Used) -> String {
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    format!("{}, {}", count(inputs, "input"), count(outputs, "output"))
}

/// What an overload takes: `(<arg>, KEYWORD, ...)[1 input, 2 outputs]`
pub(super) fn signature(body: &Overload) -> String {
    let parameter = |p: &(String, Option<String>)| match p.1.as_deref() {
        None => "<arg>".to_string(),
        Some("__REST__") => "...".to_string(),
        Some(keyword) => keyword.to_string(),
    };
    let parameters: Vec<_> = body.parameters.iter().map(parameter).collect();
    let parameters =
        if parameters.is_empty() { String::new() } else { format!("({})", parameters.join(", ")) };
    format!("{parameters}[{}]", ports_text(uses::of_body(&body.statements)))
}

/// Gives a compound's parameters their values, if the arguments fit.
pub(super) fn bind(compound: &Overload, config: &str, scope: &mut Scope) -> Result<(), ()> {
    let mut positional = Vec::new();
    for argument in split(config) {
        let (word, value) = argument.split_once(char::is_whitespace).unwrap_or((argument, ""));
        let named = |p: &&(String, Option<String>)| p.1.as_deref() == Some(word) && word != "__REST__";
        match compound.parameters.iter().find(named) {
            Some((variable, _)) => scope.define(variable, value.trim().to_string()),
            None => positional.push(argument),
        }
    }
    let given = positional.len();
    let plain = || compound.parameters.iter().filter(|p| p.1.is_none());
    let rest = compound.parameters.iter().find(|p| p.1.as_deref() == Some("__REST__"));
    let wanted = plain().count();
    if given < wanted || (given > wanted && rest.is_none()) {
        return Err(());
    }
    let others = positional.split_off(wanted);
    for ((variable, _), value) in plain().zip(positional) {
        scope.define(variable, value.to_string());
    }
    if let Some((variable, _)) = rest {
        scope.define(variable, others.join(", "));
    }
    // A keyword that was not given is empty.
    for (variable, keyword) in &compound.parameters {
        if keyword.is_some() && scope.variable(variable).is_none() {
            scope.define(variable, String::new());
        }
    }
    Ok(())
}

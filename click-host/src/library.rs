//! `require(library FILE)`: the file's text takes the statement's place, once for each file, with `#line` directives, so that
//! messages name what a person has written.

use crate::files::{find, reason};
use click::Source;
use click::diagnostic::place;
use click::lang::lexer::{Kind, Lexer};
use std::collections::HashSet;
use std::ops::Range;
use std::path::PathBuf;

/// Most bytes of a configuration with its libraries.
const LONGEST: usize = 4 << 20;

/// A configuration with its libraries in it. `path`: folders to look for files in that are not here.
pub fn expand(name: &str, text: String, path: Option<&str>) -> Result<String, String> {
    let mut seen = HashSet::new();
    let expanded = inserted(&Source { name, text: &text }, path, &mut seen)?;
    Ok(expanded.unwrap_or(text))
}

/// `None`: it requires no library.
fn inserted(
    source: &Source<'_>,
    path: Option<&str>,
    seen: &mut HashSet<PathBuf>,
) -> Result<Option<String>, String> {
    let mut out = String::new();
    let mut done = 0;
    for (statement, arguments) in requirements(source.text) {
        let arguments = click::args::split(&source.text[arguments]);
        let (libraries, others): (Vec<&str>, Vec<&str>) =
            arguments.into_iter().partition(|a| library(a).is_some());
        if libraries.is_empty() {
            continue;
        }
        out.push_str(&source.text[done..statement.start]);
        done = statement.end;
        if !others.is_empty() {
            out.push_str(&format!("require({});", others.join(", ")));
        }
        let (file, line) = place(source, statement.start);
        for name in libraries.into_iter().filter_map(library) {
            let failed = |why: &str| format!("{file}:{line}: library {name}: {why}");
            let found = find(name, path);
            let canonical = found.canonicalize().map_err(|e| failed(&reason(&e)))?;
            if !seen.insert(canonical) {
                continue;
            }
            let text = std::fs::read_to_string(&found).map_err(|e| failed(&reason(&e)))?;
            let text = inserted(&Source { name, text: &text }, path, seen)?.unwrap_or(text);
            out.push_str(&format!("\n#line 1 \"{name}\"\n{text}\n"));
            if out.len() > LONGEST {
                return Err(failed("the configuration grows beyond 4 MiB"));
            }
        }
        out.push_str(&format!("\n#line {} \"{file}\"\n", place(source, statement.end).1));
    }
    out.push_str(&source.text[done..]);
    Ok((done > 0).then_some(out))
}

fn library(argument: &str) -> Option<&str> {
    let (kind, name) = argument.split_once(char::is_whitespace)?;
    (kind == "library").then(|| name.trim().trim_matches('"'))
}

/// Each `require(...)`: the whole, and what is between its parentheses. What stands in elements' configurations is none.
fn requirements(text: &str) -> Vec<(Range<usize>, Range<usize>)> {
    let mut lexer = Lexer::new(text);
    let mut all = Vec::new();
    let mut word: Option<Range<usize>> = None;
    loop {
        let token = lexer.token();
        match token.kind {
            Kind::End => return all,
            Kind::Word => word = Some(token.span),
            Kind::Mark('(') => {
                // A parenthesis that follows no word begins a group, whose statements are looked at like others.
                let Some(before) = word.take() else { continue };
                let Some(inside) = lexer.configuration() else { return all };
                if &text[before.clone()] == "require" {
                    all.push((before.start..inside.end + 1, inside));
                }
            }
            _ => word = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn expanded(folder: &tempfile::TempDir, text: &str) -> Result<String, String> {
        expand("main.click", text.into(), folder.path().to_str())
    }

    #[test]
    fn a_library_stands_where_it_is_required_once() {
        let folder = folder();
        std::fs::write(folder.path().join("a.click"), "require(library b.click);\nA;").unwrap();
        std::fs::write(folder.path().join("b.click"), "require(library a.click)\nB;").unwrap();
        let text =
            expanded(&folder, "x;\nrequire(package p, library a.click); require(library b.click);\ny;")
                .unwrap();
        let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
        let expected = [
            "x;",
            "require(package p);",
            "#line 1 \"a.click\"",
            "#line 1 \"b.click\"",
            "#line 1 \"b.click\"",
            "B;",
        ];
        assert_eq!(lines[..4], expected[..4], "{text}");
        assert_eq!((text.matches("A;").count(), text.matches("B;").count()), (1, 1));
    }

    #[test]
    fn messages_name_the_file_and_line_that_were_written() {
        let folder = folder();
        std::fs::write(folder.path().join("a.click"), "Idle -> Discard;\nNonsense -> Discard;").unwrap();
        let text = expanded(&folder, "require(library a.click);\nOther -> Discard;").unwrap();
        let source = Source { name: "main.click", text: &text };
        let errors = click::check(&source, &[]).unwrap_err();
        let places: Vec<(&str, usize)> = errors.list.iter().map(|d| (d.file.as_str(), d.line)).collect();
        assert_eq!(places, [("a.click", 2), ("main.click", 2)]);
    }

    #[test]
    fn what_is_not_there_is_said_with_its_place() {
        let message = expanded(&folder(), "\n\nrequire(library nowhere.click);").unwrap_err();
        assert!(message.starts_with("main.click:3: library nowhere.click: "), "{message}");
    }

    #[test]
    fn text_without_libraries_is_as_it_was() {
        let text = "Script(require(library x)); // require(library y)\n\"require\" ;";
        assert_eq!(expanded(&folder(), text).unwrap(), text);
    }
}

//! Programs that change configurations and do not run them: `click` under another name, as a link.
//!
//! | name | what it does |
//! |---|---|
//! | `click-flatten` | takes compound elements apart |
//! | `click-align` | the same: no packet has to be aligned here |
//! | `click-undead` | takes out what no packet reaches, or leaves |

mod undead;

use crate::configuration::{self, Configuration};
use crate::files::reason;
use crate::options::{self, Invocation};
use crate::{output, report};
use click::Source;
use click::diagnostic::Diagnostics;
use click::elements::Library;
use click::lang::flatten::flatten;
use click::lang::{Flat, parser, print};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

/// A program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    Flatten,
    Align,
    Undead,
}

const TOOLS: [(&str, Tool); 3] =
    [("click-flatten", Tool::Flatten), ("click-align", Tool::Align), ("click-undead", Tool::Undead)];

impl Tool {
    /// The program of a name; `None`: it is the router.
    pub fn named(program: &OsString) -> Option<Self> {
        let name = Path::new(program).file_name()?.to_str()?;
        TOOLS.iter().find(|tool| tool.0 == name).map(|tool| tool.1)
    }

    fn name(self) -> &'static str {
        TOOLS.iter().find(|tool| tool.1 == self).map_or("", |tool| tool.0)
    }

    fn help(self) -> String {
        let (what, more) = match self {
            Self::Flatten => (
                "takes compound elements apart and writes the flat configuration.",
                "  -c, --classes          Write the names of the classes instead.\n",
            ),
            Self::Align => {
                ("writes the flat configuration: here no packet has to be aligned for an element.", "")
            }
            Self::Undead => (
                "takes out elements that no packet reaches or leaves, switches that never switch, schedulers of\n\
                 one input, and elements that do nothing, and writes the flat configuration.",
                "",
            ),
        };
        format!(
            "'{name}' {what}\n\nUsage: {name} [OPTION]... [ROUTERFILE] [VAR=VALUE]...\n\nOptions:\n  \
             -f, --file FILE        Read the configuration from FILE ('-': standard input).\n  \
             -e, --expression EXPR  Take EXPR as the configuration.\n  \
             -D, --define VAR=VALUE Give a variable of the configuration a value.\n  \
             -o, --output FILE      Write to FILE ('-': standard output, as without it).\n{more}  \
             -C, --clickpath PATH   Folders to look for the configuration in, with colons between them.\n      \
             --help             Print this text.\n  \
             -v, --version          Print the version.\n",
            name = self.name()
        )
    }

    /// Runs it with a command line.
    pub fn run(self, arguments: Vec<OsString>) -> ExitCode {
        let classes = |word: &OsString| matches!(word.to_str(), Some("-c" | "--classes"));
        let lists = self == Self::Flatten && arguments.iter().any(classes);
        if arguments.iter().any(|word| word == "--help") {
            output::out(&self.help());
            return ExitCode::SUCCESS;
        }
        let arguments = arguments.into_iter().filter(|word| self != Self::Flatten || !classes(word));
        let done = match options::parse(arguments) {
            Ok(Invocation::Print(text)) => Ok((text, None)),
            Ok(Invocation::Run(options)) => self.convert(&options, lists).map(|text| (text, options.output)),
            Err(message) => Err(format!("{message}\nTry '{} --help' for more information.", self.name())),
        };
        let written = done.and_then(|(text, output)| match output.as_deref() {
            None | Some("-") => {
                output::out(&text);
                Ok(())
            }
            Some(file) => fs::write(file, text).map_err(|e| format!("{file}: {}", reason(&e))),
        });
        match written {
            Ok(()) => ExitCode::from(output::lost_output().unwrap_or(0)),
            Err(message) => {
                output::say(&format!("{}: {}", self.name(), message.trim_end()));
                ExitCode::FAILURE
            }
        }
    }

    fn convert(self, options: &options::Options, lists: bool) -> Result<String, String> {
        let Configuration { name, text } =
            configuration::read(options.origin.as_ref(), options.path.as_deref())?;
        let source = Source { name: &name, text: &text };
        let library = Library { host: crate::CLASSES };
        let mut flat = flat(&source, &options.variables, library).map_err(|d| report::errors(&d))?;
        if lists {
            let classes: BTreeSet<&str> = flat.elements.iter().map(|e| e.class.as_str()).collect();
            return Ok(classes.into_iter().map(|class| format!("{class}\n")).collect());
        }
        if self == Self::Undead {
            undead::clean(&mut flat, library);
        }
        Ok(print::print(&flat))
    }
}

fn flat(source: &Source<'_>, variables: &[(String, String)], library: Library) -> Result<Flat, Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    let statements = parser::parse(source, &mut diagnostics);
    let flat = flatten(source, &statements, variables, library, &mut diagnostics);
    if diagnostics.is_empty() { Ok(flat) } else { Err(diagnostics) }
}

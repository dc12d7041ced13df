//! The command line, as the Click modular router's driver takes it. Long options may be shortened as far as they stay
//! clear.

use lexopt::{Arg, Parser, ValueExt};
use std::ffi::OsString;

/// What `--help` prints.
const HELP: &str = "\
'click' runs a Click router configuration on this host until it is interrupted or stops by itself.

Usage: click [OPTION]... [ROUTERFILE] [VAR=VALUE]...

Options:
  -f, --file FILE               Read the configuration from FILE ('-': standard input).
  -e, --expression EXPR         Take EXPR as the configuration.
  -D, --define VAR=VALUE        Give a variable of the configuration a value.
  -j, --threads N               Run on N threads (1).
  -p, --port PORT[+]            Listen for control connections on a TCP port of this host; '+': or the next that is free.
  -u, --unix-socket FILE        Listen for control connections on a Unix socket.
      --affinity[=N]            Run on processor N (0) only, further threads on the next.
      --socket FD               Take an open socket as a control connection.
  -R, --allow-reconfigure       Provide the handlers 'hotconfig' and 'config' for writing.
  -h, --handler ELEMENT.H       Print the value of handler H of ELEMENT at the end.
  -x, --exit-handler ELEMENT.H  End with the value of handler H of ELEMENT as the exit status.
  -o, --output FILE             Write the flat configuration to FILE ('-': standard output).
  -q, --quit                    Check and initialize the configuration, and do not run it.
  -t, --time                    Print how long the router ran.
  -w, --no-warnings             Do not print warnings.
  -V, --verbose                 Say on standard error what the program does.
  -C, --clickpath PATH          Folders to look for the configuration in, with colons between them.
      --simtime[=TIME]          Run in simulated time, which jumps from event to event, from TIME on (seconds since
                                1970; 1000000000 if left out).
      --help                    Print this text.
  -v, --version                 Print the version.
";

/// Names of long options, the letter that each stands for, and whether a value follows. Letters beyond those that can
/// be typed are for options that have none.
const LONG: &[(&str, char)] = &[
    ("affinity", '\u{1}'),
    ("allow-reconfigure", 'R'),
    ("clickpath", 'C'),
    ("define", 'D'),
    ("exit-handler", 'x'),
    ("expression", 'e'),
    ("file", 'f'),
    ("handler", 'h'),
    ("help", '\u{2}'),
    ("no-affinity", '\u{7}'),
    ("no-allow-reconfigure", '\u{3}'),
    ("no-warnings", 'w'),
    ("output", 'o'),
    ("port", 'p'),
    ("quit", 'q'),
    ("simtime", '\u{4}'),
    ("simulation-time", '\u{4}'),
    ("socket", '\u{5}'),
    ("threads", 'j'),
    ("time", 't'),
    ("unix-socket", 'u'),
    ("verbose", 'V'),
    ("version", 'v'),
    ("warnings", '\u{6}'),
];

/// Where the configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file, `-` being standard input.
    File(String),
    /// The command line.
    Expression(String),
}

/// What the command line asks for.
#[derive(Debug, Default)]
pub struct Options {
    /// The configuration; none: standard input.
    pub origin: Option<Origin>,
    /// Values for the configuration's variables.
    pub variables: Vec<(String, String)>,
    /// TCP ports to listen on, and whether any free one behind will do.
    pub ports: Vec<(u16, bool)>,
    /// Unix sockets to listen on.
    pub unix_sockets: Vec<String>,
    /// Open sockets to talk over.
    pub sockets: Vec<i32>,
    /// The configuration can be replaced through a handler.
    pub reconfigure: bool,
    /// Handlers to print at the end.
    pub handlers: Vec<String>,
    /// A handler whose value is the exit status.
    pub exit_handler: Option<String>,
    /// Where the flat configuration goes.
    pub output: Option<String>,
    /// The router is not run.
    pub quit: bool,
    /// The time is printed.
    pub time: bool,
    /// Warnings are not printed.
    pub silent: bool,
    /// What the program does is printed.
    pub verbose: bool,
    /// Folders to look in.
    pub path: Option<String>,
    /// Threads that were asked for.
    pub threads: u32,
    /// The processor to run on.
    pub processor: Option<usize>,
    /// Time is simulated from then on, nanoseconds since 1970.
    pub simulated: Option<u64>,
}

/// What the command line comes to.
#[derive(Debug)]
pub enum Invocation {
    /// To run a router.
    Run(Box<Options>),
    /// To print a text, and no more.
    Print(String),
}

/// Reads the command line.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, String> {
    let mut parser = Parser::from_iter(arguments);
    let mut options = Options { threads: 1, ..Options::default() };
    while let Some(argument) = parser.next().map_err(|e| e.to_string())? {
        let letter = match argument {
            Arg::Short(letter) => letter,
            Arg::Long(name) => long(name)?,
            Arg::Value(value) => {
                options.word(value.string().map_err(|e| e.to_string())?)?;
                continue;
            }
        };
        match letter {
            '\u{2}' => return Ok(Invocation::Print(HELP.to_string())),
            'v' => {
                return Ok(Invocation::Print(format!("click (MicroVisor) {}\n", env!("CARGO_PKG_VERSION"))));
            }
            '\u{3}' => options.reconfigure = false,
            '\u{4}' => {
                let value = parser.optional_value().map_or(Ok("1000000000".to_string()), |v| v.string());
                options.simulated = Some(simulated(&value.map_err(|e| e.to_string())?)?);
            }
            '\u{6}' => options.silent = false,
            'R' => options.reconfigure = true,
            'V' => options.verbose = true,
            'q' => options.quit = true,
            't' => options.time = true,
            'w' => options.silent = true,
            '\u{1}' => {
                let value = parser.optional_value().map_or(Ok("0".to_string()), |v| v.string());
                let value = value.map_err(|e| e.to_string())?;
                options.processor = Some(number(&value, "--affinity expects a processor's number")?);
            }
            '\u{7}' => options.processor = None,
            'e' | 'f' | 'D' | 'C' | 'x' | 'h' | 'o' | 'p' | 'u' | 'j' | '\u{5}' => {
                let value = parser.value().and_then(|v| v.string()).map_err(|e| e.to_string())?;
                options.valued(letter, value)?;
            }
            _ => return Err(format!("unrecognized option '-{letter}'")),
        }
    }
    Ok(Invocation::Run(Box::new(options)))
}

/// The letter of a long option, which may be shortened.
fn long(name: &str) -> Result<char, String> {
    if let Some((_, letter)) = LONG.iter().find(|l| l.0 == name) {
        return Ok(*letter);
    }
    let fits: Vec<_> = LONG.iter().filter(|l| l.0.starts_with(name)).collect();
    match fits[..] {
        [one] => Ok(one.1),
        [] => Err(format!("unrecognized option '--{name}'")),
        _ => {
            let names: Vec<_> = fits.iter().map(|l| format!("--{}", l.0)).collect();
            Err(format!("option '--{name}' is ambiguous: {}", names.join(", ")))
        }
    }
}

/// When simulated time begins, as nanoseconds since 1970.
fn simulated(value: &str) -> Result<u64, String> {
    let seconds = value.parse::<f64>().ok().and_then(|s| std::time::Duration::try_from_secs_f64(s).ok());
    let begin = seconds.and_then(|s| u64::try_from(s.as_nanos()).ok());
    begin.ok_or_else(|| format!("--simtime expects seconds since 1970, not '{value}'"))
}

/// A variable's name and its value.
fn variable(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    let right = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    right.then(|| (name.to_string(), value.to_string()))
}

impl Options {
    /// An argument that is no option: a variable, or the configuration's file.
    fn word(&mut self, word: String) -> Result<(), String> {
        match variable(&word) {
            Some(variable) => self.define(variable),
            None => self.configure(Origin::File(word)),
        }
    }

    fn define(&mut self, variable: (String, String)) -> Result<(), String> {
        if self.variables.iter().any(|v| v.0 == variable.0) {
            return Err(format!("parameter '{}' multiply defined", variable.0));
        }
        self.variables.push(variable);
        Ok(())
    }

    fn configure(&mut self, origin: Origin) -> Result<(), String> {
        match self.origin.replace(origin) {
            Some(_) => Err("router configuration specified twice".to_string()),
            None => Ok(()),
        }
    }

    fn valued(&mut self, letter: char, value: String) -> Result<(), String> {
        match letter {
            'e' => return self.configure(Origin::Expression(value)),
            'f' => return self.configure(Origin::File(value)),
            'D' => {
                let variable = variable(&value);
                return self.define(variable.ok_or_else(|| format!("expected VAR=VALUE, not '{value}'"))?);
            }
            'C' => self.path = Some(value),
            'h' => self.handlers.push(value),
            'x' if self.exit_handler.is_some() => return Err("--exit-handler specified twice".to_string()),
            'x' => self.exit_handler = Some(value),
            'o' if self.output.is_some() => return Err("output file specified twice".to_string()),
            'o' => self.output = Some(value),
            'u' => self.unix_sockets.push(value),
            'p' => {
                let plain = value.strip_suffix('+');
                let port = number(plain.unwrap_or(&value), "--port expects a TCP port")?;
                self.ports.push((port, plain.is_some()));
            }
            'j' => self.threads = number(&value, "--threads expects a number")?,
            _ => self.sockets.push(number(&value, "--socket expects the number of an open file")?),
        }
        Ok(())
    }
}

fn number<T: std::str::FromStr>(value: &str, what: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{what}, not '{value}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(line: &[&str]) -> Result<Options, String> {
        match parse(std::iter::once("click").chain(line.iter().copied()).map(OsString::from))? {
            Invocation::Run(options) => Ok(*options),
            Invocation::Print(text) => Err(text),
        }
    }

    #[test]
    fn letters_words_and_shortened_names_mean_the_same() {
        assert_eq!(options(&["--simtime"]).unwrap().simulated, Some(1_000_000_000_000_000_000));
        assert_eq!(options(&["--simulation=1.5"]).unwrap().simulated, Some(1_500_000_000));
        for line in [
            &["-qtw", "-h", "a.count", "-e", "Idle", "X=1"][..],
            &["--quit", "--time", "--no-warn", "--handler=a.count", "--expr", "Idle", "X=1"],
        ] {
            let o = options(line).unwrap();
            assert!(o.quit && o.time && o.silent);
            assert_eq!(o.handlers, ["a.count"]);
            assert_eq!(o.origin, Some(Origin::Expression("Idle".to_string())));
            assert_eq!(o.variables, [("X".to_string(), "1".to_string())]);
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        assert!(options(&["a.click", "b.click"]).unwrap_err().contains("twice"));
        assert!(options(&["X=1", "X=2"]).unwrap_err().contains("multiply defined"));
        assert!(options(&["--t"]).unwrap_err().contains("ambiguous"));
        assert!(options(&["--nothing"]).unwrap_err().contains("unrecognized"));
        assert!(options(&["--simtime=-1"]).unwrap_err().contains("seconds since 1970"));
        assert!(options(&["-p", "many"]).unwrap_err().contains("TCP port"));
    }
}

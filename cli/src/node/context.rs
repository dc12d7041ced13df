//! Which node commands ask: the one that the environment names, or the context in use, or this host's own. And `microvisor
//! context`, which keeps nodes by name, with what it takes to reach them.

use crate::output::{self, Failure};
use api::client::{CA, Client, DEFAULT, SOCKET, TOKEN};
use clap::Subcommand;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use machine::status;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Variable that names a context for one command.
const CONTEXT: &str = "MICROVISOR_CONTEXT";
/// Variable that names the file of contexts.
const FILE: &str = "MICROVISOR_CONTEXTS";
/// The context that is always there: this host's node.
const LOCAL: &str = "local";
/// Longest token, bytes.
const TOKEN_MAXIMUM: u64 = 4096;

/// What can be done with contexts.
#[derive(Clone, Debug, Subcommand)]
pub enum ContextCommand {
    /// Keep a node under a name
    #[command(
        after_help = "Example: microvisor context add lab https://10.0.0.7:7070 --token-file token --ca node.crt"
    )]
    Add {
        /// Name of the context
        name: String,
        /// The node: https://HOST:PORT, http://HOST:PORT on this host, or the path of its socket
        node: String,
        /// File with the token, or - for standard input
        #[arg(long, value_name = "FILE")]
        token_file: Option<PathBuf>,
        /// PEM file with the certificates that the node's is checked against [default: those that browsers trust]
        #[arg(long, value_name = "FILE")]
        ca: Option<PathBuf>,
        /// Use it from now on
        #[arg(long = "use")]
        in_use: bool,
    },
    /// Use a context from now on; `local` is this host's node
    #[command(after_help = "Example: microvisor context use lab")]
    Use {
        /// Name of the context
        #[arg(add = ArgValueCandidates::new(candidates))]
        name: String,
    },
    /// List contexts; a star marks the one in use
    #[command(visible_alias = "list", after_help = "Example: microvisor context ls")]
    Ls {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Delete contexts
    #[command(visible_alias = "delete", after_help = "Example: microvisor context rm lab")]
    Rm {
        /// Names of contexts
        #[arg(required = true, add = ArgValueCandidates::new(candidates))]
        names: Vec<String>,
    },
}

/// How a node is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Context {
    /// A URL, or the path of a socket.
    node: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca: Option<PathBuf>,
}

/// The file of contexts.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Contexts {
    /// The one in use; none: `local`.
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<String>,
    context: BTreeMap<String, Context>,
}

fn file() -> Option<PathBuf> {
    if let Some(file) = std::env::var_os(FILE) {
        return Some(file.into());
    }
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let folder = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")))?;
    Some(folder.join("microvisor/contexts.toml"))
}

fn refused(message: impl std::fmt::Display) -> Failure {
    Failure::new(message, status::CONFIGURATION_REFUSED)
}

impl Contexts {
    fn read() -> Result<Self, Failure> {
        let Some(file) = file() else { return Ok(Self::default()) };
        match std::fs::read_to_string(&file) {
            Ok(text) => toml::from_str(&text).map_err(|e| refused(format!("{}: {e}", file.display()))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(Failure::new(format!("{}: {e}", file.display()), status::HOST)),
        }
    }

    /// Replaces the file as a whole. It has tokens: nobody else reads it.
    fn write(&self) -> Result<(), Failure> {
        let file = file().ok_or_else(|| refused(format!("no home folder; name a file in {FILE}")))?;
        let text = toml::to_string(self).map_err(refused)?;
        let draft = file.with_extension("new");
        let write = || {
            std::fs::create_dir_all(file.parent().unwrap_or(Path::new(".")))?;
            // What an earlier try has left may be readable by others.
            let _ = std::fs::remove_file(&draft);
            let mut new = std::fs::File::options().write(true).create_new(true).mode(0o600).open(&draft)?;
            new.write_all(text.as_bytes())?;
            new.sync_all()?;
            std::fs::rename(&draft, &file)
        };
        write().map_err(|e| Failure::new(format!("{}: {e}", file.display()), status::HOST))
    }

    /// One by name; none for this host's node.
    fn named(&self, name: &str) -> Result<Option<&Context>, Failure> {
        match self.context.get(name) {
            None if name == LOCAL => Ok(None),
            None => Err(refused(format!("there is no context {name}"))
                .hint("see what there is: microvisor context ls")),
            found => Ok(found),
        }
    }
}

/// How the node that commands ask is reached; `None`: by the usual socket, if one listens there.
fn selected() -> Result<Option<Context>, Failure> {
    if let Ok(node) = std::env::var(SOCKET) {
        let ca = std::env::var_os(CA).map(PathBuf::from);
        return Ok(Some(Context { node, token: std::env::var(TOKEN).ok(), ca }));
    }
    let contexts = Contexts::read()?;
    match std::env::var(CONTEXT).ok().or_else(|| contexts.current.clone()) {
        Some(name) => Ok(contexts.named(&name)?.cloned()),
        None => Ok(None),
    }
}

impl Context {
    fn is_remote(&self) -> bool {
        self.node.starts_with("http://") || self.node.starts_with("https://")
    }
}

/// How the node that commands ask is reached.
pub enum NodeTarget {
    /// By a socket; whether somebody has named it.
    Socket(PathBuf, bool),
    /// Over TCP.
    Remote(Client),
}

/// Which node commands ask.
pub fn target() -> Result<NodeTarget, Failure> {
    match selected()? {
        None => Ok(NodeTarget::Socket(DEFAULT.into(), false)),
        Some(c) if c.is_remote() => {
            Ok(NodeTarget::Remote(Client::remote(&c.node, c.token, c.ca.as_deref())?))
        }
        Some(c) => Ok(NodeTarget::Socket(c.node.into(), true)),
    }
}

/// Whether commands ask a node over TCP: they concern that node alone, and nothing on this host.
pub fn is_remote() -> bool {
    selected().is_ok_and(|chosen| chosen.is_some_and(|c| c.is_remote()))
}

/// The node, if it can be reached.
pub fn find() -> Option<Client> {
    match target().ok()? {
        NodeTarget::Remote(client) => Some(client),
        NodeTarget::Socket(socket, _) => Client::on_socket(socket),
    }
}

/// The node, or why there is none.
pub fn required() -> Result<Client, Failure> {
    match target()? {
        NodeTarget::Remote(client) => Ok(client),
        NodeTarget::Socket(socket, _) => Ok(Client::required_on(socket)?),
    }
}

/// The node of this host, whichever commands ask: names of instances are unique on a host.
pub fn of_host() -> Option<Client> {
    match target() {
        Ok(NodeTarget::Socket(socket, _)) => Client::on_socket(socket),
        _ => Client::on_socket(DEFAULT.into()),
    }
}

/// The names of all contexts, for shells.
fn candidates() -> Vec<CompletionCandidate> {
    let contexts = Contexts::read().unwrap_or_default();
    contexts.context.into_keys().chain([LOCAL.to_owned()]).map(CompletionCandidate::new).collect()
}

/// A context without what nobody shall see.
#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    node: &'a str,
    current: bool,
}

fn token(file: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = match file == Path::new("-") {
        true => std::io::stdin().take(TOKEN_MAXIMUM).read_to_string(&mut text),
        false => std::fs::File::open(file).and_then(|f| f.take(TOKEN_MAXIMUM).read_to_string(&mut text)),
    };
    read.map_err(|e| refused(format!("{}: {e}", file.display())))?;
    match text.trim() {
        "" => Err(refused(format!("{}: there is no token in it", file.display()))),
        token => Ok(token.to_owned()),
    }
}

/// `microvisor context`
pub fn context(command: &ContextCommand) -> Result<(), Failure> {
    let mut contexts = Contexts::read()?;
    match command {
        ContextCommand::Add { name, node, token_file, ca, in_use } => {
            if !api::instance::is_name(name) || name == LOCAL {
                return Err(refused(format!("{name:?} cannot name a context")));
            }
            let token = token_file.as_deref().map(token).transpose()?;
            // Whoever uses it may be elsewhere.
            let absolute =
                |path: &Path| path.canonicalize().map_err(|e| refused(format!("{}: {e}", path.display())));
            let new = Context { node: node.clone(), token, ca: ca.as_deref().map(absolute).transpose()? };
            if new.is_remote() {
                // Certificates that cannot be read are refused now, not at every command.
                Client::remote(&new.node, None, new.ca.as_deref())?;
            } else if !Path::new(node).is_absolute() {
                return Err(refused(format!("{node}: name a URL, or the absolute path of a socket")));
            }
            contexts.context.insert(name.clone(), new);
            if *in_use {
                contexts.current = Some(name.clone());
            }
            contexts.write()
        }
        ContextCommand::Use { name } => {
            contexts.named(name)?;
            contexts.current = (name != LOCAL).then(|| name.clone());
            contexts.write()
        }
        ContextCommand::Ls { json } => {
            let current = contexts.current.as_deref().unwrap_or(LOCAL);
            let local = [(LOCAL, DEFAULT)];
            let all = contexts.context.iter().map(|(name, c)| (name.as_str(), c.node.as_str())).chain(local);
            let shown: Vec<Shown> =
                all.map(|(name, node)| Shown { name, node, current: name == current }).collect();
            if *json {
                return output::json(&shown);
            }
            let mark = |current| if current { "*" } else { "" };
            let rows: Vec<Vec<String>> =
                shown.iter().map(|s| vec![mark(s.current).into(), s.name.into(), s.node.into()]).collect();
            output::print(output::table(&["", "NAME", "NODE"], &rows))
        }
        ContextCommand::Rm { names } => {
            let outcome = output::each(names, |name| {
                contexts.named(name)?;
                contexts.context.remove(name).map(drop).ok_or_else(|| refused("the context local stays"))
            });
            contexts.current = contexts.current.take().filter(|name| contexts.context.contains_key(name));
            contexts.write()?;
            outcome
        }
    }
}

//! `microvisor token`: tokens for the node's API over TCP.

use super::{context, escaped};
use crate::instance::up_words;
use crate::output::{self, Failure};
use api::token::{Role, Secret, Token, TokenSpec};
use clap::Subcommand;
use machine::timeline::unix_ns;
use std::str::FromStr;
use std::time::Duration;

/// What can be done with tokens.
#[derive(Clone, Debug, Subcommand)]
pub enum TokenCommand {
    /// Create a token and print it; it cannot be shown again
    #[command(after_help = "Example: microvisor token create monitoring --role read --expires 90d")]
    Create {
        /// Name of the token
        name: String,
        /// What the token allows: read, operate, admin
        #[arg(long, default_value = "read")]
        role: RoleOption,
        /// How long it is valid, such as 30d or 12h [default: until it is deleted]
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        expires: Option<Duration>,
    },
    /// List tokens
    #[command(after_help = "Example: microvisor token ls")]
    Ls {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Delete tokens
    #[command(after_help = "Example: microvisor token rm monitoring")]
    Rm {
        /// Names of tokens
        #[arg(required = true)]
        names: Vec<String>,
    },
}

/// A role on the command line.
#[derive(Clone, Copy, Debug)]
pub struct RoleOption(Role);

impl FromStr for RoleOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        serde_json::from_value(text.into()).map(Self).map_err(|_| "use read, operate or admin".into())
    }
}

fn table(tokens: &[Token]) -> String {
    let role = |r: Role| format!("{r:?}").to_lowercase();
    let now = unix_ns();
    let expires = |at: u64| match at.checked_sub(now) {
        Some(left) => format!("in {}", up_words(Duration::from_nanos(left))),
        None => "expired".into(),
    };
    let used = |at: u64| format!("{} ago", up_words(Duration::from_nanos(now.saturating_sub(at))));
    let row = |t: &Token| {
        vec![
            t.name.clone(),
            role(t.role),
            t.expires_unix_ns.map_or("never".into(), expires),
            t.used_unix_ns.map_or("never".into(), used),
        ]
    };
    let rows: Vec<Vec<String>> = tokens.iter().map(row).collect();
    output::table(&["NAME", "ROLE", "EXPIRES", "USED"], &rows)
}

/// `microvisor token`
pub fn token(command: &TokenCommand) -> Result<(), Failure> {
    let client = context::required()?;
    match command {
        TokenCommand::Create { name, role, expires } => {
            let expires_unix_ns = expires.map(|time| unix_ns().saturating_add(time.as_nanos() as u64));
            let spec = TokenSpec { name: name.clone(), role: role.0, expires_unix_ns };
            let created: Secret = client.post("/v1/tokens", &spec)?;
            output::print(format!("{}\n", created.token))
        }
        TokenCommand::Ls { json } => {
            let tokens: Vec<Token> = client.get("/v1/tokens")?;
            if *json { output::json(&tokens) } else { output::print(table(&tokens)) }
        }
        TokenCommand::Rm { names } => {
            output::each(names, |name| Ok(client.delete(&format!("/v1/tokens/{}", escaped(name)))?))
        }
    }
}

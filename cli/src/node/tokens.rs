//! `microvisor token`: tokens for the node's API over TCP.

use super::{context, escaped};
use crate::output::{self, Failure};
use api::token::{Role, Secret, Token};
use clap::Subcommand;
use std::str::FromStr;

/// What can be done with tokens.
#[derive(Clone, Debug, Subcommand)]
pub enum TokenCommand {
    /// Create a token and print it; it cannot be shown again
    #[command(after_help = "Example: microvisor token create monitoring --role read")]
    Create {
        /// Name of the token
        name: String,
        /// What the token allows: read, operate, admin
        #[arg(long, default_value = "read")]
        role: RoleOption,
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
    let rows: Vec<Vec<String>> = tokens.iter().map(|t| vec![t.name.clone(), role(t.role)]).collect();
    output::table(&["NAME", "ROLE"], &rows)
}

/// `microvisor token`
pub fn token(command: &TokenCommand) -> Result<(), Failure> {
    let client = context::required()?;
    match command {
        TokenCommand::Create { name, role } => {
            let created: Secret = client.post("/v1/tokens", &Token { name: name.clone(), role: role.0 })?;
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

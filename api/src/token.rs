//! Tokens: who may do what over TCP.

use serde::{Deserialize, Serialize};

/// What a token is good for; each role includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Look at everything.
    Read,
    /// Create, change and delete instances.
    Operate,
    /// Networks, images, flavors and tokens too.
    Admin,
}

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Name, unique on the node.
    pub name: String,
    /// What it is good for.
    pub role: Role,
}

/// A token that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Secret {
    /// Its name.
    pub name: String,
    /// What it is good for.
    pub role: Role,
    /// The token itself: shown this once, and stored nowhere.
    pub token: String,
}

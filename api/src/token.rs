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

/// A token that shall be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TokenSpec {
    /// Name, unique on the node.
    pub name: String,
    /// What it is good for.
    pub role: Role,
    /// From when on it is not valid any more, nanoseconds since 1970; never without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(maximum = 9223372036854775807_i64))]
    pub expires_unix_ns: Option<u64>,
}

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Token {
    /// Its name.
    pub name: String,
    /// What it is good for.
    pub role: Role,
    /// From when on it is not valid any more, nanoseconds since 1970; never without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_unix_ns: Option<u64>,
    /// When it was used last, to the minute, nanoseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_unix_ns: Option<u64>,
}

/// What a request may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Access {
    /// Name of its token; none on the Unix socket, where none is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
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

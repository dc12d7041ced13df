//! How the API says no: problems as RFC 9457 has them.

use crate::token::Role;
use serde::{Deserialize, Serialize};

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[error("{detail}")]
pub struct Problem {
    /// Which kind: `urn:microvisor:` and a word that stays the same.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened this time.
    pub detail: String,
    /// The next step, if there is one to name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Where a configuration is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Diagnostic>,
}

/// A place in a configuration, and what is wrong there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Diagnostic {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1, in characters.
    pub column: usize,
    /// Characters that it is about, at least 1, perhaps into the next lines.
    #[serde(default = "one")]
    pub length: usize,
    /// What is wrong.
    pub message: String,
}

fn one() -> usize {
    1
}

impl Problem {
    fn new(kind: &str, title: &str, status: u16, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:microvisor:{kind}"),
            title: title.into(),
            status,
            detail: detail.into(),
            hint: None,
            errors: Vec::new(),
        }
    }

    /// The request makes no sense.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new("invalid", "The request is not valid", 422, detail)
    }

    /// Over TCP, without a token or with one that is not known.
    pub fn unauthorized() -> Self {
        Self::new("unauthorized", "Who are you?", 401, "a request over TCP needs a token that is known").hint(
            "have one made on the host: microvisor token create NAME; send it as Authorization: Bearer TOKEN",
        )
    }

    /// This user may not ask the node by its socket. The client finds that out by itself.
    pub fn permission(detail: impl Into<String>) -> Self {
        Self::new("permission", "Permission is missing", 403, detail).hint("run as root")
    }

    /// The token is not good for this.
    pub fn forbidden(has: Role, needed: Role) -> Self {
        let detail = format!("the token's role is {has:?}, and this takes {needed:?}").to_lowercase();
        Self::new("forbidden", "The role does not suffice", 403, detail)
    }

    /// There is no such thing.
    pub fn absent(what: &str, name: &str) -> Self {
        let detail = format!("there is no {what} named {name}");
        Self::new("absent", "There is no such thing", 404, detail)
    }

    /// The name is taken.
    pub fn taken(what: &str, name: &str) -> Self {
        let detail = format!("there is a {what} named {name} already");
        Self::new("taken", "The name is taken", 409, detail)
    }

    /// Not in this state, or not while others need it.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new("conflict", "Not in this state", 409, detail)
    }

    /// The configuration is refused: the message, and each place that is wrong.
    pub fn configuration(detail: impl Into<String>, errors: Vec<Diagnostic>) -> Self {
        Self { errors, ..Self::new("configuration", "The configuration is refused", 422, detail) }
    }

    /// The instance did not start, or does not answer.
    pub fn failed(detail: impl Into<String>) -> Self {
        Self::new("failed", "It did not work", 502, detail)
    }

    /// The host lacks something: room, a device, a permission.
    pub fn host(detail: impl Into<String>) -> Self {
        Self::new("host", "The host lacks something", 507, detail)
    }

    /// The host does not run ring 0 of guests by hardware, which this one needs.
    pub fn hardware(detail: impl Into<String>) -> Self {
        Self::new("no-hardware-virtualisation", "The host does not run such guests", 507, detail)
    }

    /// The node itself failed.
    pub fn node(detail: impl Into<String>) -> Self {
        Self::new("node", "The node failed", 500, detail)
    }

    /// With the next step.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<machine::error::Error> for Problem {
    fn from(e: machine::error::Error) -> Self {
        let problem = match &e {
            machine::error::Error::Image(_) | machine::error::Error::Configuration(_) => {
                Self::invalid(e.to_string())
            }
            _ => Self::host(e.to_string()),
        };
        match e.hint() {
            Some(hint) => problem.hint(hint),
            None => problem,
        }
    }
}

impl From<switch_control::control::CallError> for Problem {
    fn from(e: switch_control::control::CallError) -> Self {
        match e {
            switch_control::control::CallError::Refused(message) => {
                Self::host(format!("the switch refused: {message}"))
            }
            e => Self::node(format!("the switch: {e}")),
        }
    }
}

#[cfg(feature = "server")]
impl axum_core::response::IntoResponse for Problem {
    fn into_response(self) -> axum_core::response::Response {
        use ureq::http::{HeaderValue, StatusCode, header};
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let kind = HeaderValue::from_static("application/problem+json");
        (status, [(header::CONTENT_TYPE, kind)], body).into_response()
    }
}

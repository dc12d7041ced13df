//! How the API says no: problems as RFC 9457 has them.

use crate::api::access::Role;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, thiserror::Error)]
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
    pub errors: Vec<Place>,
}

/// A place in a configuration, and what is wrong there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl Problem {
    fn new(kind: &str, title: &str, status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:microvisor:{kind}"),
            title: title.into(),
            status: status.as_u16(),
            detail: detail.into(),
            hint: None,
            errors: Vec::new(),
        }
    }

    /// The request makes no sense.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new("invalid", "The request is not valid", StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// Over TCP, without a token or with one that is not known.
    pub fn unauthorized() -> Self {
        let status = StatusCode::UNAUTHORIZED;
        Self::new("unauthorized", "Who are you?", status, "a request over TCP needs a token that is known")
            .hint("have one made on the host: microvisor token create NAME; send it as Authorization: Bearer TOKEN")
    }

    /// The token is not good for this.
    pub fn forbidden(has: Role, needed: Role) -> Self {
        let detail = format!("the token's role is {has:?}, and this takes {needed:?}").to_lowercase();
        Self::new("forbidden", "The role does not suffice", StatusCode::FORBIDDEN, detail)
    }

    /// There is no such thing.
    pub fn absent(what: &str, name: &str) -> Self {
        let detail = format!("there is no {what} named {name}");
        Self::new("absent", "There is no such thing", StatusCode::NOT_FOUND, detail)
    }

    /// The name is taken.
    pub fn taken(what: &str, name: &str) -> Self {
        let detail = format!("there is a {what} named {name} already");
        Self::new("taken", "The name is taken", StatusCode::CONFLICT, detail)
    }

    /// Not in this state, or not while others need it.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new("conflict", "Not in this state", StatusCode::CONFLICT, detail)
    }

    /// The configuration is refused, with the places that are wrong.
    pub fn configuration(diagnostics: &click::diagnostic::Diagnostics) -> Self {
        let detail = diagnostics.to_string().trim_end().to_owned();
        let errors = diagnostics.list.iter();
        let errors = errors.map(|d| Place { line: d.line, column: d.column, message: d.message.clone() });
        Self {
            errors: errors.collect(),
            ..Self::new(
                "configuration",
                "The configuration is refused",
                StatusCode::UNPROCESSABLE_ENTITY,
                detail,
            )
        }
    }

    /// The instance did not start, or does not answer.
    pub fn failed(detail: impl Into<String>) -> Self {
        Self::new("failed", "It did not work", StatusCode::BAD_GATEWAY, detail)
    }

    /// The host lacks something: room, a device, a permission.
    pub fn host(detail: impl Into<String>) -> Self {
        Self::new("host", "The host lacks something", StatusCode::INSUFFICIENT_STORAGE, detail)
    }

    /// The node itself failed.
    pub fn node(detail: impl Into<String>) -> Self {
        Self::new("node", "The node failed", StatusCode::INTERNAL_SERVER_ERROR, detail)
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

impl From<rusqlite::Error> for Problem {
    fn from(e: rusqlite::Error) -> Self {
        match e.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::host("no space is left for the store"),
            _ => Self::node(format!("the store: {e}")),
        }
    }
}

impl From<switch::control::CallError> for Problem {
    fn from(e: switch::control::CallError) -> Self {
        match e {
            switch::control::CallError::Refused(message) => {
                Self::host(format!("the switch refused: {message}"))
            }
            e => Self::node(format!("the switch: {e}")),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let kind = HeaderValue::from_static("application/problem+json");
        (status, [(header::CONTENT_TYPE, kind)], body).into_response()
    }
}

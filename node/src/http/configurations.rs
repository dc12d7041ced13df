//! `/v1/configurations/check`: what is wrong with a Click file, before anything is started.

use super::Body;
use crate::instance::plan::diagnostics;
use crate::node::Node;
use api::problem::{Diagnostic, Problem};
use axum::Json;
use click::Source;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The paths of this resource.
pub fn router() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new().routes(routes!(check))
}

/// A Click file.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Draft {
    /// Its text.
    config: String,
    /// Values of its variables.
    #[serde(default)]
    variables: BTreeMap<String, String>,
}

/// What was found.
#[derive(Serialize, ToSchema)]
struct Checked {
    /// What is wrong, by place; nothing if it can run.
    errors: Vec<Diagnostic>,
    /// What can run and is probably not as meant.
    warnings: Vec<Diagnostic>,
    /// Net devices that it uses, in order.
    devices: Vec<String>,
}

/// Check a Click file.
#[utoipa::path(post, path = "/v1/configurations/check", tag = "instances", request_body = Draft, responses(
    (status = 200, body = Checked),
    (status = 415, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json")))]
async fn check(Body(draft): Body<Draft>) -> Json<Checked> {
    let variables: Vec<(String, String)> = draft.variables.into_iter().collect();
    let source = Source { name: "config", text: &draft.config };
    // A large file takes a while, in which this thread must not keep others from being served.
    Json(match tokio::task::block_in_place(|| click::check(&source, &variables)) {
        Ok(checked) => {
            let devices = checked.devices().iter().map(ToString::to_string).collect();
            Checked { errors: Vec::new(), warnings: diagnostics(checked.warnings()), devices }
        }
        Err(wrong) => Checked { errors: diagnostics(&wrong), warnings: Vec::new(), devices: Vec::new() },
    })
}

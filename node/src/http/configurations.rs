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
    OpenApiRouter::new().routes(routes!(check)).routes(routes!(examples))
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

/// A Click file to begin with.
#[derive(Serialize, ToSchema)]
struct Example {
    /// Its name.
    name: &'static str,
    /// What it does, in a sentence.
    about: &'static str,
    /// Its text.
    config: &'static str,
}

macro_rules! examples {
    ($($name:literal),*) => {
        [$(($name, include_str!(concat!("../../../examples/", $name, ".click")))),*]
    };
}

/// Name and text of each.
const EXAMPLES: [(&str, &str); 12] = examples!(
    "balancer",
    "cgnat",
    "dnsfilter",
    "firewall",
    "hosts",
    "loadgen",
    "mirror",
    "proxy",
    "ratelimit",
    "router",
    "stateful",
    "vlangateway"
);

/// Click files to begin with.
#[utoipa::path(get, path = "/v1/configurations/examples", tag = "instances", responses(
    (status = 200, body = Vec<Example>)))]
async fn examples() -> Json<Vec<Example>> {
    // Its first comment begins with that sentence.
    let about = |text: &'static str| text.lines().next().unwrap_or("").trim_start_matches("// ");
    Json(EXAMPLES.iter().map(|(name, config)| Example { name, about: about(config), config }).collect())
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
            Checked { errors: Vec::new(), warnings: diagnostics(&draft.config, checked.warnings()), devices }
        }
        Err(wrong) => {
            Checked { errors: diagnostics(&draft.config, &wrong), warnings: Vec::new(), devices: Vec::new() }
        }
    })
}

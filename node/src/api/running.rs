//! What can be asked of an instance that runs: its console, its handlers, another configuration.

use super::Body;
use crate::instance::{control, prepare};
use crate::node::Node;
use crate::problem::Problem;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use machine::control::{Request, Response};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn router() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new()
        .routes(routes!(console))
        .routes(routes!(read, write))
        .routes(routes!(configure))
        .routes(routes!(inspect))
}

/// The last of an instance's console, 64 KiB at the most: of this run, or of the last.
#[utoipa::path(get, path = "/v1/instances/{name}/console", tag = "running",
    params(("name" = String, Path, description = "Name or id")),
    responses((status = 200, body = String, content_type = "text/plain"),
    (status = 404, body = Problem, content_type = "application/problem+json")))]
async fn console(State(node): State<Arc<Node>>, Path(name): Path<String>) -> Result<String, Problem> {
    let handle = node.instance(&name)?;
    if handle.view.borrow().state.runs()
        && let Ok(text) = control::console(handle.socket.clone()).await
    {
        return Ok(text);
    }
    node.store.console(handle.id)
}

/// A handler's value.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Value {
    /// The value.
    value: String,
}

fn value(response: Response) -> Result<Json<Value>, Problem> {
    match response {
        Response::Done { value } => Ok(Json(Value { value })),
        _ => Err(Problem::node("the monitor answered something else")),
    }
}

/// Read a handler, `ELEMENT.HANDLER`.
#[utoipa::path(get, path = "/v1/instances/{name}/handlers/{handler}", tag = "running",
    params(("name" = String, Path, description = "Name or id"), ("handler" = String, Path, description = "ELEMENT.HANDLER")),
    responses((status = 200, body = Value),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json")))]
async fn read(
    State(node): State<Arc<Node>>,
    Path((name, handler)): Path<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let socket = node.instance(&name)?.socket;
    value(control::call(socket, Request::Read { handler }).await?)
}

/// Write a handler.
#[utoipa::path(put, path = "/v1/instances/{name}/handlers/{handler}", tag = "running",
    params(("name" = String, Path, description = "Name or id"), ("handler" = String, Path, description = "ELEMENT.HANDLER")),
    request_body = Value, responses((status = 200, body = Value),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json"),
    (status = 415, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json")))]
async fn write(
    State(node): State<Arc<Node>>,
    Path((name, handler)): Path<(String, String)>,
    Body(new): Body<Value>,
) -> Result<Json<Value>, Problem> {
    let socket = node.instance(&name)?.socket;
    value(control::call(socket, Request::Write { handler, value: new.value }).await?)
}

/// Another configuration.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Configuration {
    /// Its text.
    config: String,
}

/// Run another configuration from now on, without a packet lost; the next start takes it as well.
#[utoipa::path(put, path = "/v1/instances/{name}/config", tag = "running",
    params(("name" = String, Path, description = "Name or id")), request_body = Configuration,
    responses((status = 204, description = "It runs"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json"),
    (status = 415, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json")))]
async fn configure(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
    Body(new): Body<Configuration>,
) -> Result<StatusCode, Problem> {
    let handle = node.instance(&name)?;
    let row = node.store.instance(&handle.id.to_string())?;
    if node.images.find(&row.spec.image)?.image.config_format == "click" {
        prepare::check_click(&new.config, &row.spec)?;
    }
    control::call(handle.socket.clone(), Request::Configure { config: new.config.clone() }).await?;
    handle.configured(new.config).await;
    Ok(StatusCode::NO_CONTENT)
}

/// What the monitor of a running instance knows of it: memory, counters of its devices.
#[utoipa::path(get, path = "/v1/instances/{name}/inspect", tag = "running",
    params(("name" = String, Path, description = "Name or id")),
    responses((status = 200, body = Object),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json")))]
async fn inspect(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
) -> Result<Json<serde_json::Value>, Problem> {
    let socket = node.instance(&name)?.socket;
    match control::call(socket, Request::Inspect).await? {
        Response::Instance(i) => Ok(Json(serde_json::to_value(i).unwrap_or_default())),
        _ => Err(Problem::node("the monitor answered something else")),
    }
}

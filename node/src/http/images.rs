//! `/v1/images`: guest images.

use super::{Query, created};
use crate::images::Draft;
use crate::node::Node;
use api::Problem;
use api::image::Image;
use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use futures_util::StreamExt;
use serde::Deserialize;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn router() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new().routes(routes!(import)).routes(routes!(list)).routes(routes!(show, delete))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct Import {
    /// The image's name
    name: String,
    /// Where the node shall fetch it from, http or https, instead of from the body
    url: Option<String>,
    /// The SHA-256 that it must have, in hexadecimal
    id: Option<String>,
}

/// Import an image: the body is the file, or `url` says where it is. It is checked, and kept under its digest.
///
/// The file is a guest in ring 3 (ELF), or the archive of a Linux guest's bundle (tar).
#[utoipa::path(post, path = "/v1/images", tag = "images", params(Import),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses(
    (status = 201, body = Image),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json"),
    (status = 502, body = Problem, content_type = "application/problem+json"),
    (status = 507, body = Problem, content_type = "application/problem+json")))]
async fn import(
    State(node): State<Arc<Node>>,
    Query(how): Query<Import>,
    request: Request,
) -> Result<Response, Problem> {
    let mut draft = node.images.draft()?;
    let late = |_| Problem { status: 408, ..Problem::invalid("the image did not arrive in time") };
    if how.url.is_none() {
        tokio::time::timeout(UPLOAD, receive(request, &mut draft)).await.map_err(late)??;
    }
    let image = tokio::task::block_in_place(|| {
        if let Some(url) = &how.url {
            fetch(url, &mut draft)?;
        }
        node.images.import(&how.name, &draft, how.id.as_deref())
    })?;
    node.events.emit("image.imported", &image.name, serde_json::json!({ "id": image.id }));
    Ok(created(image))
}

/// Takes in a body, piece by piece.
async fn receive(request: Request, draft: &mut Draft) -> Result<(), Problem> {
    let mut body = request.into_body().into_data_stream();
    while let Some(piece) = body.next().await {
        let cut = |e: axum::Error| Problem {
            status: 400,
            ..Problem::invalid(format!("the image was cut off: {e}"))
        };
        draft.write(&piece.map_err(cut)?)?;
    }
    Ok(())
}

/// How long a fetch may take.
const FETCH: Duration = Duration::from_secs(300);
/// How long its server may take to be found and to accept the connection, and to begin its answer.
const FETCH_CONNECT: Duration = Duration::from_secs(5);
const FETCH_ANSWER: Duration = Duration::from_secs(15);
/// How long an image may take that comes as a body.
const UPLOAD: Duration = Duration::from_secs(300);
/// What is read at once, bytes.
const PIECE: usize = 64 << 10;

/// Fetches a file.
fn fetch(url: &str, draft: &mut Draft) -> Result<(), Problem> {
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(Problem::invalid("a URL begins with http:// or https://"));
    }
    let failed = |e: &dyn std::fmt::Display| Problem::failed(format!("{url}: {e}"));
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(FETCH))
        .timeout_resolve(Some(FETCH_CONNECT))
        .timeout_connect(Some(FETCH_CONNECT))
        .timeout_recv_response(Some(FETCH_ANSWER))
        .build()
        .new_agent();
    let mut response = agent.get(url).call().map_err(|e| failed(&e))?;
    let mut body = response.body_mut().with_config().limit(u64::MAX).reader();
    let mut piece = vec![0; PIECE];
    loop {
        match body.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(read) => draft.write(&piece[..read])?,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(failed(&e)),
        }
    }
}

/// List images.
#[utoipa::path(get, path = "/v1/images", tag = "images", responses((status = 200, body = Vec<Image>)))]
async fn list(State(node): State<Arc<Node>>) -> Result<Json<Vec<Image>>, Problem> {
    Ok(Json(node.images.all()?))
}

/// Look at an image.
#[utoipa::path(get, path = "/v1/images/{name}", tag = "images", params(("name" = String, Path, description = "Name or id")), responses(
    (status = 200, body = Image), (status = 404, body = Problem, content_type = "application/problem+json")))]
async fn show(State(node): State<Arc<Node>>, Path(name): Path<String>) -> Result<Json<Image>, Problem> {
    Ok(Json(node.images.find(&name)?.image))
}

/// Delete an imported image. Instances that run go on.
#[utoipa::path(delete, path = "/v1/images/{name}", tag = "images", params(("name" = String, Path)), responses(
    (status = 204, description = "It is gone"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json")))]
async fn delete(State(node): State<Arc<Node>>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    node.images.remove(&name)?;
    Ok(StatusCode::NO_CONTENT)
}

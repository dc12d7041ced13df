//! `/v1/elements`: the manual of Click elements that guests have.

use crate::node::Node;
use api::Problem;
use api::element::{Element, ElementHandler};
use axum::Json;
use axum::extract::Path;
use click::element::Class;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The paths of this resource.
pub fn router() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show))
}

fn element((subject, class): (&'static str, &'static Class)) -> Element {
    let words = |list: &[&str]| list.iter().map(ToString::to_string).collect();
    let handler =
        |h: &click::element::Handler| ElementHandler { name: h.name.into(), read: h.read, write: h.write };
    Element {
        name: class.name.into(),
        subject: subject.into(),
        summary: class.manual.first().map_or("", |line| line.trim()).into(),
        ports: class.ports.into(),
        processing: class.processing.into(),
        keywords: words(class.keywords),
        handlers: class.handlers.iter().map(handler).collect(),
        manual: None,
    }
}

/// List the elements that a guest's Click file can use, by name.
#[utoipa::path(get, path = "/v1/elements", tag = "elements", responses((status = 200, body = Vec<Element>)))]
async fn list() -> Json<Vec<Element>> {
    let mut all: Vec<Element> = click::elements::manual().map(element).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Json(all)
}

/// An element with its page of the manual.
#[utoipa::path(get, path = "/v1/elements/{name}", tag = "elements", params(("name" = String, Path)), responses(
    (status = 200, body = Element),
    (status = 404, body = Problem, content_type = "application/problem+json")))]
async fn show(Path(name): Path<String>) -> Result<Json<Element>, Problem> {
    let found = click::elements::manual().find(|(_, class)| class.name == name);
    let (subject, class) = found.ok_or_else(|| Problem::absent("element", &name))?;
    let lines = class.manual.iter().map(|line| line.strip_prefix(' ').unwrap_or(line));
    let manual = Some(lines.collect::<Vec<_>>().join("\n"));
    Ok(Json(Element { manual, ..element((subject, class)) }))
}

//! The page at `/`: a few files that are part of this program.

use crate::images::digest;
use crate::node::Node;
use api::Problem;
use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

/// Name, type and content of each file.
const FILES: [(&str, &str, &str); 9] = [
    ("index.html", "text/html; charset=utf-8", include_str!("../../page/index.html")),
    ("style.css", "text/css; charset=utf-8", include_str!("../../page/style.css")),
    ("icon.svg", "image/svg+xml", include_str!("../../page/icon.svg")),
    ("app.js", "text/javascript; charset=utf-8", include_str!("../../page/app.js")),
    ("api.js", "text/javascript; charset=utf-8", include_str!("../../page/api.js")),
    ("details.js", "text/javascript; charset=utf-8", include_str!("../../page/details.js")),
    ("dom.js", "text/javascript; charset=utf-8", include_str!("../../page/dom.js")),
    ("editor.js", "text/javascript; charset=utf-8", include_str!("../../page/editor.js")),
    ("draw.js", "text/javascript; charset=utf-8", include_str!("../../page/draw.js")),
];

/// Each file's tag, made of its digest.
static TAGS: LazyLock<HashMap<&str, String>> = LazyLock::new(|| {
    let tag = |content: &str| format!("\"{}\"", &digest(content.as_bytes())[..16]);
    FILES.iter().map(|(name, _, content)| (*name, tag(content))).collect()
});

/// Nothing from elsewhere, nothing in line, and in nobody else's frame.
const POLICY: &str = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/// The paths of the page.
pub fn router() -> Router<Arc<Node>> {
    Router::new().route("/", get(|headers: HeaderMap| async move { file("index.html", &headers) })).route(
        "/page/{file}",
        get(|Path(name): Path<String>, headers: HeaderMap| async move { file(&name, &headers) }),
    )
}

fn file(name: &str, headers: &HeaderMap) -> Response {
    let Some((_, kind, content)) = FILES.iter().find(|f| f.0 == name) else {
        return Problem::absent("file", name).into_response();
    };
    let tag = TAGS.get(name).map_or("", String::as_str);
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let about = [
        (header::CONTENT_TYPE, *kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::ETAG, tag),
    ];
    (about, *content).into_response()
}

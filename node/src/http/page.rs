//! The page at `/`: a few files that are part of this program.

use crate::images::digest;
use crate::node::Node;
use api::Problem;
use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, LazyLock};

/// Name and content of each file.
const FILES: [(&str, &str); 34] = [
    ("about.js", include_str!("../../page/about.js")),
    ("actions.js", include_str!("../../page/actions.js")),
    ("api.js", include_str!("../../page/api.js")),
    ("app.js", include_str!("../../page/app.js")),
    ("bars.js", include_str!("../../page/bars.js")),
    ("complete.js", include_str!("../../page/complete.js")),
    ("config.js", include_str!("../../page/config.js")),
    ("console.js", include_str!("../../page/console.js")),
    ("create.js", include_str!("../../page/create.js")),
    ("data.js", include_str!("../../page/data.js")),
    ("details.js", include_str!("../../page/details.js")),
    ("diff.js", include_str!("../../page/diff.js")),
    ("dom.js", include_str!("../../page/dom.js")),
    ("editor.js", include_str!("../../page/editor.js")),
    ("events.js", include_str!("../../page/events.js")),
    ("format.js", include_str!("../../page/format.js")),
    ("grid.js", include_str!("../../page/grid.js")),
    ("handlers.js", include_str!("../../page/handlers.js")),
    ("icon.svg", include_str!("../../page/icon.svg")),
    ("index.html", include_str!("../../page/index.html")),
    ("instances.js", include_str!("../../page/instances.js")),
    ("manual.js", include_str!("../../page/manual.js")),
    ("network.js", include_str!("../../page/network.js")),
    ("networks.js", include_str!("../../page/networks.js")),
    ("order.js", include_str!("../../page/order.js")),
    ("overview.js", include_str!("../../page/overview.js")),
    ("picture.js", include_str!("../../page/picture.js")),
    ("popup.js", include_str!("../../page/popup.js")),
    ("route.js", include_str!("../../page/route.js")),
    ("start.js", include_str!("../../page/start.js")),
    ("style.css", include_str!("../../page/style.css")),
    ("svg.js", include_str!("../../page/svg.js")),
    ("things.js", include_str!("../../page/things.js")),
    ("views.css", include_str!("../../page/views.css")),
];

/// A file as it is served.
struct File {
    kind: &'static str,
    content: &'static str,
    /// The same, compressed: a third of it.
    gzip: Vec<u8>,
    /// Made of its digest.
    tag: String,
}

static SERVED: LazyLock<HashMap<&str, File>> = LazyLock::new(|| {
    let file = |(name, content): (&'static str, &'static str)| {
        let kind = match name.rsplit_once('.') {
            Some((_, "html")) => "text/html; charset=utf-8",
            Some((_, "css")) => "text/css; charset=utf-8",
            Some((_, "svg")) => "image/svg+xml",
            _ => "text/javascript; charset=utf-8",
        };
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        // Writing to memory does not fail.
        let _ = gzip.write_all(content.as_bytes());
        let gzip = gzip.finish().unwrap_or_default();
        let tag = format!("\"{}\"", &digest(content.as_bytes())[..16]);
        (name, File { kind, content, gzip, tag })
    };
    FILES.into_iter().map(file).collect()
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
    let Some(file) = SERVED.get(name) else {
        return Problem::absent("file", name).into_response();
    };
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == file.tag.as_bytes()) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let about = [
        (header::CONTENT_TYPE, file.kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::VARY, "accept-encoding"),
        (header::ETAG, &file.tag),
    ];
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or("");
    if accepted.split(',').any(|coding| coding.trim() == "gzip") {
        return (about, [(header::CONTENT_ENCODING, "gzip")], &file.gzip[..]).into_response();
    }
    (about, file.content).into_response()
}

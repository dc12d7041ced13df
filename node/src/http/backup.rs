//! `/v1/backup`: all that the node knows, in one file.

use crate::node::Node;
use api::Problem;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::AsyncReadExt;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

/// Bytes that are sent at a time.
const PIECE: usize = 64 << 10;
/// What the names of unfinished copies begin with.
const DRAFT: &str = "backup-";

/// The paths of this resource.
pub fn router() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new().routes(routes!(backup))
}

/// A file that is gone with this.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Removes copies that a former daemon was killed at.
pub fn clear(state: &Path) {
    for entry in std::fs::read_dir(state).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(DRAFT)) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Copy the store as it is at one moment, with imported images; `microvisor node restore` takes it.
#[utoipa::path(post, path = "/v1/backup", tag = "backup", responses(
    (status = 200, description = "The copy", body = Vec<u8>, content_type = "application/octet-stream"),
    (status = 507, description = "No space is left for it", body = Problem, content_type = "application/problem+json")))]
async fn backup(State(node): State<Arc<Node>>) -> Result<Response, Problem> {
    let state = node.settings.state().to_owned();
    let draft = Draft(state.join(format!("{DRAFT}{}", Uuid::now_v7())));
    let cannot = |e: std::io::Error| Problem::host(format!("{}: {e}", state.display()));
    std::fs::File::options().write(true).create_new(true).mode(0o600).open(&draft.0).map_err(cannot)?;
    let store = node.store.clone();
    let draft = tokio::task::spawn_blocking(move || {
        store.back_up(&state.join("images"), &draft.0).map(|()| draft).map_err(Problem::from)
    });
    let draft = draft.await.map_err(|e| Problem::node(e.to_string()))??;
    let file = tokio::fs::File::open(&draft.0).await;
    let file = file.map_err(|e| Problem::host(format!("{}: {e}", draft.0.display())))?;
    // The file goes with the last piece, or with the client.
    let stream = futures_util::stream::unfold((file, draft), |(mut file, draft)| async {
        let mut piece = vec![0; PIECE];
        match file.read(&mut piece).await {
            Ok(0) => None,
            Ok(n) => {
                piece.truncate(n);
                Some((Ok(piece), (file, draft)))
            }
            Err(e) => Some((Err(e), (file, draft))),
        }
    });
    Ok(([(CONTENT_TYPE, "application/octet-stream")], Body::from_stream(stream)).into_response())
}

//! `/v1/switch`: the switch as it is.

use crate::node::Node;
use api::Problem;
use axum::Json;
use axum::extract::State;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The paths of this resource.
pub fn router() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new().routes(routes!(show))
}

/// The switch's ports, bonds and counters, as `microvisor switch show --json` has them.
#[utoipa::path(get, path = "/v1/switch", tag = "switch", responses((status = 200, body = Object)))]
async fn show(State(node): State<Arc<Node>>) -> Result<Json<switch::control::Status>, Problem> {
    Ok(Json(node.switch.status()?))
}

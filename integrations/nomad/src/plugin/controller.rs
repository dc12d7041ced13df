//! `GRPCController`: how a client ends its plugin.

use super::Presence;
use crate::proto::plugin::Empty;
use crate::proto::plugin::grpc_controller_server::GrpcController;
use tonic::{Request, Response, Status};

/// The service.
pub struct Controller(pub Presence);

#[tonic::async_trait]
impl GrpcController for Controller {
    async fn shutdown(&self, _: Request<Empty>) -> Result<Response<Empty>, Status> {
        tracing::debug!("the client ends its plugin; tasks live on");
        self.0.end();
        Ok(Response::new(Empty {}))
    }
}

//! `BasePlugin`: who this is, and its configuration.

use super::{Driver, NAME};
use crate::proto::base::base_plugin_server::BasePlugin;
use crate::proto::base::{
    ConfigSchemaRequest, ConfigSchemaResponse, PluginInfoRequest, PluginInfoResponse, PluginType,
    SetConfigRequest, SetConfigResponse,
};
use crate::schema::agent::{self, Agent};
use tonic::{Request, Response, Status};

/// The version of Nomad's plugin interface.
const VERSION: &str = "v0.1.0";

#[tonic::async_trait]
impl BasePlugin for Driver {
    async fn plugin_info(
        &self,
        _: Request<PluginInfoRequest>,
    ) -> Result<Response<PluginInfoResponse>, Status> {
        Ok(Response::new(PluginInfoResponse {
            r#type: PluginType::Driver.into(),
            plugin_api_versions: vec![VERSION.into()],
            plugin_version: env!("CARGO_PKG_VERSION").into(),
            name: NAME.into(),
        }))
    }

    async fn config_schema(
        &self,
        _: Request<ConfigSchemaRequest>,
    ) -> Result<Response<ConfigSchemaResponse>, Status> {
        Ok(Response::new(ConfigSchemaResponse { spec: Some(agent::schema()) }))
    }

    async fn set_config(
        &self,
        asked: Request<SetConfigRequest>,
    ) -> Result<Response<SetConfigResponse>, Status> {
        let agent = Agent::read(&asked.get_ref().msgpack_config).map_err(Status::invalid_argument)?;
        tracing::debug!(node = agent.node, "configured");
        self.inner.presence.stay(agent.alone());
        self.set(agent);
        Ok(Response::new(SetConfigResponse {}))
    }
}

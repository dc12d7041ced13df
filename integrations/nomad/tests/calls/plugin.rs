//! What makes it a plugin, whoever asks: its line, its services, its configuration, its clients that go, hang or talk garbage.

use crate::emulator::{Allocation, Plugin, connect, eventually, instances, launch, node};
use nomad_driver_microvisor::proto::base::{
    ConfigSchemaRequest, PluginInfoRequest, PluginType, SetConfigRequest,
};
use nomad_driver_microvisor::proto::drivers::network_isolation_spec::NetworkIsolationMode;
use nomad_driver_microvisor::proto::drivers::*;
use nomad_driver_microvisor::proto::health::HealthCheckRequest;
use nomad_driver_microvisor::proto::health::health_check_response::ServingStatus;
use nomad_driver_microvisor::proto::health::health_client::HealthClient;
use nomad_driver_microvisor::proto::plugin::Empty;
use nomad_driver_microvisor::proto::plugin::grpc_broker_client::GrpcBrokerClient;
use nomad_driver_microvisor::proto::plugin::grpc_controller_client::GrpcControllerClient;
use nomad_driver_microvisor::proto::plugin::grpc_stdio_client::GrpcStdioClient;
use serde_json::json;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use tonic::Code;

#[tokio::test(flavor = "multi_thread")]
async fn it_says_where_it_listens_and_is_a_plugin() {
    let node = node();
    let mut plugin = Plugin::new(&node).await;
    let asked = tonic::Request::new(HealthCheckRequest { service: "plugin".into() });
    let health = HealthClient::new(plugin.channel.clone()).check(asked).await.unwrap().into_inner();
    assert_eq!(health.status(), ServingStatus::Serving);
    let info = plugin.base.plugin_info(PluginInfoRequest {}).await.unwrap().into_inner();
    assert_eq!((info.r#type(), info.name.as_str()), (PluginType::Driver, "microvisor"));
    assert!(plugin.base.config_schema(ConfigSchemaRequest {}).await.unwrap().into_inner().spec.is_some());
    assert!(
        plugin
            .driver
            .task_config_schema(TaskConfigSchemaRequest {})
            .await
            .unwrap()
            .into_inner()
            .spec
            .is_some()
    );
    let can =
        plugin.driver.capabilities(CapabilitiesRequest {}).await.unwrap().into_inner().capabilities.unwrap();
    assert!(can.send_signals && can.exec && !can.must_create_network);
    assert!(can.network_isolation_modes().any(|m| m == NetworkIsolationMode::Group));
    // Streams that go-plugin opens and holds.
    let stdio = GrpcStdioClient::new(plugin.channel.clone()).stream_stdio(()).await.unwrap();
    let broker =
        GrpcBrokerClient::new(plugin.channel.clone()).start_stream(tokio_stream::pending()).await.unwrap();
    GrpcControllerClient::new(plugin.channel.clone()).shutdown(Empty {}).await.unwrap();
    eventually("it has ended", || plugin.ended());
    drop((stdio, broker));
    assert!(!plugin.socket.exists(), "its socket is left");
}

#[test]
fn without_the_cookie_it_says_what_it_is() {
    let program = env!("CARGO_BIN_EXE_nomad-driver-microvisor");
    let said = std::process::Command::new(program).output().unwrap();
    assert!(
        said.status.success() && String::from_utf8_lossy(&said.stdout).contains("plugin_dir"),
        "{said:?}"
    );
}

#[test]
fn a_client_that_wants_tls_is_told_that_there_is_none() {
    let (mut process, line) = launch(&[("PLUGIN_CLIENT_CERT", "-----BEGIN CERTIFICATE-----")]);
    assert_eq!(line, "");
    assert!(!process.wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_cannot_be_is_refused_with_its_key() {
    let node = node();
    let mut plugin = Plugin::new(&node).await;
    let msgpack_config = rmp_serde::to_vec_named(&json!({ "node": "relative.sock" })).unwrap();
    let refused =
        plugin.base.set_config(SetConfigRequest { msgpack_config, ..Default::default() }).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().starts_with("node:"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_without_a_client_ends_and_its_tasks_live_on() {
    let node = node();
    let mut plugin = Plugin::with(&node, json!({ "alone_s": 0.3 })).await;
    let allocation = Allocation::new();
    let task = allocation.pong();
    plugin.start(&task).await.unwrap();
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert!(!plugin.ended(), "it has a client");
    plugin.disconnect();
    eventually("it has ended", || plugin.ended());
    assert_eq!(instances(&node)[0]["state"], "ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_does_not_keep_others_waiting() {
    let node = node();
    let mut plugin = Plugin::new(&node).await;
    let allocation = Allocation::new();
    let task = allocation.pong();
    plugin.start(&task).await.unwrap();
    // Streams that nobody reads, and connections that say nothing, or garbage.
    let hanging = connect(&plugin.socket).await;
    let mut held = Vec::new();
    for _ in 0..20 {
        let mut driver = driver_client::DriverClient::new(hanging.clone());
        let collection_interval = Some(prost_types::Duration { seconds: 0, nanos: 1 });
        held.push(
            driver
                .task_stats(TaskStatsRequest { task_id: task.id.clone(), collection_interval })
                .await
                .unwrap(),
        );
    }
    let silent: Vec<_> = (0..20).map(|_| UnixStream::connect(&plugin.socket).unwrap()).collect();
    for mut stream in &silent {
        stream.write_all(&[0xff; 4096]).unwrap();
    }
    let begun = Instant::now();
    plugin.inspect(&task).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2));
    // Streams that are cut.
    drop((held, hanging, silent));
    let waiting = plugin.wait(&task);
    waiting.abort();
    plugin.stop(&task).await.unwrap();
    plugin.destroy(&task, false).await.unwrap();
}

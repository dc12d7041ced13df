//! Networks of the node, and namespaces of allocations.

use crate::emulator::{Allocation, PONG, Plugin, code, instances, node};
use nomad_driver_microvisor::proto::drivers::{CreateNetworkRequest, DestroyNetworkRequest, TaskState};
use serde_json::json;
use tonic::Code;

#[tokio::test(flavor = "multi_thread")]
async fn networks_of_the_node_are_honoured() {
    let node = node();
    node.post("/v1/networks", &json!({ "name": "green", "subnet": "10.80.0.0/24" })).is(201);
    let mut plugin = Plugin::new(&node).await;
    let allocation = Allocation::new();
    let networks = json!([
        { "name": "green", "address": "10.80.0.77", "mac": "02:00:00:00:00:77", "anti_spoofing": false },
        { "name": "blue" }
    ]);
    let task = allocation
        .task(json!({ "config": PONG, "network": networks, "queue": 128, "poll_us": 10, "prepared": false }));
    plugin.start(&task).await.unwrap();
    let devices = instances(&node)[0]["devices"].clone();
    assert_eq!(devices[0]["address"], "10.80.0.77");
    assert_eq!(devices[0]["mac"], "02:00:00:00:00:77");
    assert_eq!((&devices[0]["anti_spoofing"], &devices[1]["anti_spoofing"]), (&json!(false), &json!(true)));
    plugin.destroy(&task, true).await.unwrap();
    let demand = allocation.task(json!({ "config": PONG, "on_demand_s": 5 }));
    plugin.start(&demand).await.unwrap();
    assert_eq!(instances(&node)[0]["state"], "waiting");
    assert_eq!(plugin.inspect(&demand).await.unwrap().task.unwrap().state(), TaskState::Running);
    let waiting = plugin.wait(&demand);
    plugin.stop(&demand).await.unwrap();
    waiting.await.unwrap().unwrap();
    plugin.destroy(&demand, false).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_is_made_once_and_removed() {
    let node = node();
    let mut plugin = Plugin::new(&node).await;
    let alloc_id = uuid::Uuid::now_v7().to_string();
    let asked = || CreateNetworkRequest { alloc_id: alloc_id.clone(), hostname: String::new() };
    let made = plugin.driver.create_network(asked()).await.unwrap().into_inner();
    let path = made.isolation_spec.unwrap().path;
    assert!(made.created && std::path::Path::new(&path).exists());
    assert!(!plugin.driver.create_network(asked()).await.unwrap().into_inner().created);
    let gone = || DestroyNetworkRequest { alloc_id: alloc_id.clone(), isolation_spec: None };
    plugin.driver.destroy_network(gone()).await.unwrap();
    plugin.driver.destroy_network(gone()).await.unwrap();
    assert!(!std::path::Path::new(&path).exists());
    let wrong = CreateNetworkRequest { alloc_id: "../../etc".into(), hostname: String::new() };
    assert_eq!(code(plugin.driver.create_network(wrong).await), Code::InvalidArgument);
}

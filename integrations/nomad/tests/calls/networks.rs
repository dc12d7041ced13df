//! Networks of the node, and namespaces of allocations.

use crate::emulator::{Allocation, PONG, Plugin, code, instances, node};
use nomad_driver_microvisor::proto::drivers::{CreateNetworkRequest, DestroyNetworkRequest, TaskState};
use serde_json::json;
use std::os::unix::fs::MetadataExt;
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
async fn a_size_is_what_the_job_says() {
    let node = node();
    let mut plugin = Plugin::new(&node).await;
    let allocation = Allocation::new();
    let mut task = allocation.task(json!({
        "config": PONG, "memory_mib": 24, "queue": 128, "poll_us": 10, "send_mbit": 100, "receive_mbit": 50, "prepared": false
    }));
    let resources = task.resources.as_mut().and_then(|r| r.allocated_resources.as_mut()).unwrap();
    resources.memory.as_mut().unwrap().memory_mb = 32;
    plugin.start(&task).await.unwrap();
    assert_eq!(instances(&node)[0]["memory_mib"], 24);
    let flavors = node.get("/v1/flavors").is(200);
    let is_this = |flavor: &&serde_json::Value| {
        let keys = ["queue", "poll_us", "send_mbit", "receive_mbit", "prepared", "cpu_shares"];
        json!(keys.map(|key| &flavor[key])) == json!([128, 10, 100.0, 50.0, false, 20])
    };
    assert!(flavors.as_array().unwrap().iter().find(is_this).is_some(), "{flavors}");
    plugin.destroy(&task, true).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_is_made_once_and_removed() {
    let node = node();
    let mut plugin = Plugin::new(&node).await;
    let alloc_id = uuid::Uuid::now_v7().to_string();
    let asked = || CreateNetworkRequest { alloc_id: alloc_id.clone(), hostname: String::new() };
    // A client that was killed may have left a file that nothing is mounted on.
    std::fs::create_dir_all("/run/netns").unwrap();
    std::fs::write(format!("/run/netns/{alloc_id}"), "").unwrap();
    let made = plugin.driver.create_network(asked()).await.unwrap().into_inner();
    let path = made.isolation_spec.unwrap().path;
    let inode = |path: &str| std::fs::metadata(path).unwrap().ino();
    assert!(made.created);
    assert_ne!(inode(&path), inode("/proc/self/ns/net"), "it is the driver's own");
    assert!(
        std::process::Command::new("nsenter")
            .arg(format!("--net={path}"))
            .arg("true")
            .status()
            .unwrap()
            .success()
    );
    assert!(!plugin.driver.create_network(asked()).await.unwrap().into_inner().created);
    let gone = || DestroyNetworkRequest { alloc_id: alloc_id.clone(), isolation_spec: None };
    plugin.driver.destroy_network(gone()).await.unwrap();
    plugin.driver.destroy_network(gone()).await.unwrap();
    assert!(!std::path::Path::new(&path).exists());
    let wrong = CreateNetworkRequest { alloc_id: "../../etc".into(), hostname: String::new() };
    assert_eq!(code(plugin.driver.create_network(wrong).await), Code::InvalidArgument);
}

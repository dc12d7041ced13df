//! A task from its start to its end.

use crate::emulator::{Allocation, PONG, Plugin, code, eventually, instances, next, node};
use nomad_driver_microvisor::proto::drivers::*;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio_stream::StreamExt;
use tonic::Code;

#[tokio::test(flavor = "multi_thread")]
async fn a_task_starts_answers_and_ends() {
    let node = node();
    let mut plugin = Plugin::new(&node).await;
    let (allocation, mut events) =
        (Allocation::new(), plugin.driver.task_events(TaskEventsRequest {}).await.unwrap().into_inner());
    let task = allocation.pong();
    let handle = plugin.start(&task).await.unwrap();
    assert_eq!(handle.state(), TaskState::Running);
    let instance = &instances(&node)[0];
    assert_eq!((&instance["state"], &instance["memory_mib"]), (&json!("ready"), &json!(16)));
    assert_eq!(instance["labels"]["nomad.alloc"], json!(task.alloc_id));
    // By its allocation's id, too, as Nomad's commands shorten it.
    let named = node.get(&format!("/v1/instances/{}", &task.alloc_id)).is(200);
    assert_eq!(named["id"], instance["id"]);
    let event = next(&mut events).await;
    assert!(event.message.contains("ready after") && event.message.contains("10.79.0."), "{event:?}");
    let status = plugin.inspect(&task).await.unwrap().task.unwrap();
    assert_eq!(status.state(), TaskState::Running);
    // What the driver did is in the instance's timeline.
    let name = instance["name"].as_str().unwrap().to_owned();
    eventually("the driver's phases are told", || {
        let timeline = node.get(&format!("/v1/instances/{name}/timeline")).is(200);
        let phases = timeline["external"].as_array().cloned().unwrap_or_default();
        phases.iter().map(|p| p["name"].clone()).collect::<Vec<_>>() == ["driver: start task", "driver: node"]
    });
    // The same start again, as after an answer that never came.
    plugin.start(&task).await.unwrap();
    assert_eq!(instances(&node).len(), 1);
    let waiting = plugin.wait(&task);
    let asked = TaskStatsRequest { task_id: task.id.clone(), collection_interval: None };
    let mut stats = plugin.driver.task_stats(asked).await.unwrap().into_inner();
    let used = next(&mut stats).await.stats.unwrap().agg_resource_usage.unwrap();
    assert!(used.memory.as_ref().is_some_and(|m| m.rss > 1 << 20), "{used:?}");
    plugin.stop(&task).await.unwrap();
    // It was stopped when that was answered.
    assert_eq!(instances(&node)[0]["state"], "stopped");
    let ended = waiting.await.unwrap().unwrap();
    assert_eq!((ended.result.unwrap().exit_code, ended.err.as_str()), (0, ""));
    assert_eq!(plugin.inspect(&task).await.unwrap().task.unwrap().state(), TaskState::Exited);
    assert_eq!(code(plugin.signal(&task, "SIGHUP").await), Code::FailedPrecondition);
    plugin.stop(&task).await.unwrap();
    plugin.destroy(&task, false).await.unwrap();
    assert!(instances(&node).is_empty());
    // A second time there is nothing to destroy, nor to ask.
    assert_eq!(code(plugin.destroy(&task, true).await), Code::NotFound);
    assert_eq!(code(plugin.wait(&task).await.unwrap()), Code::NotFound);
    assert_eq!(code(plugin.inspect(&task).await), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_task_is_destroyed_by_force_alone() {
    let node = node();
    let mut plugin = Plugin::new(&node).await;
    let allocation = Allocation::new();
    let task = allocation.pong();
    plugin.start(&task).await.unwrap();
    let waiting = plugin.wait(&task);
    assert_eq!(code(plugin.destroy(&task, false).await), Code::FailedPrecondition);
    plugin.destroy(&task, true).await.unwrap();
    assert!(instances(&node).is_empty());
    assert!(waiting.await.unwrap().unwrap().err.contains("removed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_run_fails_with_a_reason_and_leaves_nothing() {
    let node = node();
    let mut plugin = Plugin::new(&node).await;
    let allocation = Allocation::new();
    allocation.write("local/not-an-image", "MZ, but not");
    for (config, reason) in [
        (json!({ "config": "FromDevice(eth0) ->\n  Nonsense -> Discard;" }), "2:3"),
        (json!({ "image": "no-such-image", "config": PONG }), "no-such-image"),
        (json!({ "image": "local/not-an-image" }), "image"),
        (json!({ "image": "local/absent" }), "local/absent"),
        (json!({ "image": "http://127.0.0.1:9/x", "image_sha256": "0".repeat(64) }), "127.0.0.1:9"),
        (json!({ "config_file": "local/absent.click" }), "local/absent.click"),
        (json!({ "config_file": "../../../etc/passwd" }), "not in the task's folder"),
        (json!({ "config": PONG, "network": [{ "name": "nowhere" }] }), "nowhere"),
        (json!({ "config": PONG, "network": [{ "name": "blue", "address": "10.99.0.1" }] }), "10.99.0.1"),
        (json!({ "config": PONG, "queue": 3 }), "queue"),
        (json!({ "config": PONG, "config_file": "x" }), "one of them"),
        (json!({ "config": PONG, "memory_mib": 512 }), "memory_mib"),
        (json!({ "config": 7 }), "cannot be read"),
    ] {
        let refused = plugin.start(&allocation.task(config.clone())).await.unwrap_err();
        assert!(refused.message().contains(reason), "{config}: {refused}");
        assert!(instances(&node).is_empty(), "{config}");
    }
    let empty = plugin.start(&TaskConfig::default()).await;
    assert_eq!(code(empty), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_dies_is_a_task_that_failed() {
    let node = node();
    let mut plugin = Plugin::new(&node).await;
    let allocation = Allocation::new();
    let task = allocation.pong();
    plugin.start(&task).await.unwrap();
    let waiting = plugin.wait(&task);
    let pid = instances(&node)[0]["pid"].to_string();
    e2e::signal(pid.parse().unwrap(), "KILL");
    let ended = waiting.await.unwrap().unwrap();
    assert_ne!(ended.result.unwrap().exit_code, 0);
    assert!(!ended.err.is_empty());
    plugin.destroy(&task, false).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logger_hears_the_end_of_both_fifos_whether_or_not_the_guest_spoke() {
    let node = node();
    let mut plugin = Plugin::new(&node).await;
    let silent = Allocation::new();
    // Nobody reads the output of the second, which has more to say than a FIFO holds.
    let unheard = Allocation::new();
    let words = format!("{PONG}\nScript(print \"{}\", goto begin);", "x".repeat(4000));
    for (allocation, task, kinds) in [
        (&silent, silent.pong(), &["stdout", "stderr"][..]),
        (&unheard, unheard.task(json!({ "config": words })), &["stderr"][..]),
    ] {
        let ended = kinds.iter().map(|kind| {
            let path = allocation.fifo(kind);
            std::thread::spawn(move || std::fs::read(path).map(|text| text.len()))
        });
        let ended: Vec<_> = ended.collect();
        plugin.start(&task).await.unwrap();
        plugin.stop(&task).await.unwrap();
        eventually("the FIFOs are closed", || ended.iter().all(std::thread::JoinHandle::is_finished));
        plugin.destroy(&task, false).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_task_is_heard_of_at_once() {
    let node = node();
    let mut plugin = Plugin::new(&node).await;
    let mut events = plugin.driver.task_events(TaskEventsRequest {}).await.unwrap().into_inner();
    let allocation = Allocation::new();
    let _reading = allocation.log();
    let task = allocation.pong();
    plugin.start(&task).await.unwrap();
    assert!(events.next().await.is_some());
    let waiting = plugin.wait(&task);
    let name = instances(&node)[0]["name"].as_str().unwrap().to_owned();
    node.ask("POST", &format!("/v1/instances/{name}/stop"), None::<&Value>, &[]).is(200);
    let begun = Instant::now();
    waiting.await.unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    plugin.destroy(&task, false).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_without_a_reader_blocks_nobody() {
    let node = node();
    let mut plugin = Plugin::new(&node).await;
    let allocation = Allocation::new();
    let task = allocation.task(json!({ "config": format!("{PONG}\nScript(print \"hello\");") }));
    plugin.start(&task).await.unwrap();
    let waiting = plugin.wait(&task);
    let begun = Instant::now();
    plugin.stop(&task).await.unwrap();
    waiting.await.unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    plugin.destroy(&task, false).await.unwrap();
}

//! Plugins, clients and nodes that are killed: tasks live on, and none is started twice.

use crate::emulator::{Allocation, PONG, Plugin, code, eventually, instances, next, node};
use nomad_driver_microvisor::proto::drivers::fingerprint_response::HealthState;
use nomad_driver_microvisor::proto::drivers::*;
use nomad_driver_microvisor::proto::structs::attribute::Value as Attribute;
use serde_json::json;
use tonic::{Code, Streaming};

/// What is told next of a driver in this state.
async fn health(
    fingerprints: &mut Streaming<FingerprintResponse>,
    wanted: HealthState,
) -> FingerprintResponse {
    loop {
        let found = next(fingerprints).await;
        if found.health() == wanted {
            return found;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_plugin_loses_nothing() {
    let node = node();
    let mut first = Plugin::new(&node).await;
    let allocation = Allocation::new();
    let log = allocation.log();
    let task = allocation.task(json!({ "config": format!("{PONG}\nScript(print \"hello\");") }));
    let handle = first.start(&task).await.unwrap();
    let pid = instances(&node)[0]["pid"].clone();
    eventually("its console is logged", || log.lock().unwrap().matches("hello").count() == 1);
    first.kill();
    let mut second = Plugin::new(&node).await;
    assert_eq!(code(second.inspect(&task).await), Code::NotFound);
    second.recover(&handle).await.unwrap();
    second.recover(&handle).await.unwrap();
    assert_eq!(instances(&node)[0]["pid"], pid, "it was started again");
    assert_eq!(second.inspect(&task).await.unwrap().task.unwrap().state(), TaskState::Running);
    let asked = TaskStatsRequest { task_id: task.id.clone(), collection_interval: None };
    next(&mut second.driver.task_stats(asked).await.unwrap().into_inner()).await;
    let mut events = second.driver.task_events(TaskEventsRequest {}).await.unwrap().into_inner();
    let waiting = second.wait(&task);
    // Nomad's client passes on what it knows of the task with an event.
    let event = next(&mut events).await;
    assert!(event.message.contains("found again"), "{event:?}");
    second.stop(&task).await.unwrap();
    waiting.await.unwrap().unwrap();
    // What was logged before is not logged again.
    assert_eq!(log.lock().unwrap().matches("hello").count(), 1, "{log:?}");
    second.destroy(&task, false).await.unwrap();
    assert!(instances(&node).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_gone_or_ended_is_not_recovered_and_not_started() {
    let node = node();
    let mut first = Plugin::new(&node).await;
    let (gone, ended) = (Allocation::new(), Allocation::new());
    let tasks = [gone.pong(), ended.pong()];
    let handles = [first.start(&tasks[0]).await.unwrap(), first.start(&tasks[1]).await.unwrap()];
    first.kill();
    for (number, verb) in [(0, "DELETE"), (1, "POST")] {
        let name = format!("task-{}", tasks[number].alloc_id);
        let path = if verb == "DELETE" {
            format!("/v1/instances/{name}?force=true")
        } else {
            format!("/v1/instances/{name}/stop")
        };
        node.ask(verb, &path, None, &[]);
    }
    let mut second = Plugin::new(&node).await;
    assert_eq!(code(second.recover(&handles[0]).await), Code::NotFound);
    let refused = second.recover(&handles[1]).await.unwrap_err();
    assert!(refused.message().contains("has ended"), "{refused}");
    let left = instances(&node);
    assert_eq!((left.len(), &left[0]["state"]), (1, &json!("stopped")), "something was started");
    // What Nomad does next: nothing is left of it.
    second.destroy(&tasks[1], true).await.unwrap();
    assert!(instances(&node).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_nobody_heard_of_is_replaced_by_the_next() {
    let node = node();
    let mut first = Plugin::new(&node).await;
    let allocation = Allocation::new();
    let lost = allocation.pong();
    first.start(&lost).await.unwrap();
    // The client was killed before it wrote the handle down, and starts the task by another id.
    first.kill();
    let mut second = Plugin::new(&node).await;
    let again = allocation.pong();
    second.start(&again).await.unwrap();
    let left = instances(&node);
    assert_eq!((left.len(), &left[0]["labels"]["nomad.task_id"]), (1, &json!(again.id)));
    // A late word about the first does not touch the second.
    assert_eq!(code(second.destroy(&lost, true).await), Code::NotFound);
    assert_eq!(instances(&node).len(), 1);
    second.destroy(&again, true).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_killed_while_it_starts_tasks_leaves_one_of_each() {
    let node = node();
    let allocations: Vec<Allocation> = (0..8).map(|_| Allocation::new()).collect();
    let tasks: Vec<TaskConfig> = allocations.iter().map(Allocation::pong).collect();
    let first = Plugin::new(&node).await;
    let starting: Vec<_> = tasks
        .iter()
        .map(|task| {
            let (mut driver, task) = (first.driver.clone(), task.clone());
            tokio::spawn(async move { driver.start_task(StartTaskRequest { task: Some(task) }).await })
        })
        .collect();
    eventually("some are being started", || !instances(&node).is_empty());
    first.kill();
    for start in starting {
        let _ = start.await;
    }
    let mut second = Plugin::new(&node).await;
    for task in &tasks {
        second.start(task).await.unwrap();
    }
    let left = instances(&node);
    assert_eq!(left.len(), tasks.len());
    assert!(left.iter().all(|i| i["state"] == "ready"), "{left:?}");
    for task in &tasks {
        second.destroy(task, true).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_node_is_away_tasks_are_neither_lost_nor_started_twice() {
    let mut node = node();
    let mut plugin = Plugin::new(&node).await;
    let mut fingerprints = plugin.driver.fingerprint(FingerprintRequest {}).await.unwrap().into_inner();
    let found = health(&mut fingerprints, HealthState::Healthy).await;
    for name in ["version", "cpu_level", "networks", "prepared", "cpus", "memory"] {
        assert!(found.attributes.contains_key(&format!("driver.microvisor.{name}")), "{name}: {found:?}");
    }
    let networks = found.attributes["driver.microvisor.networks"].value.clone();
    assert_eq!(networks, Some(Attribute::StringVal("blue".into())));
    let (allocation, other) = (Allocation::new(), Allocation::new());
    let task = allocation.pong();
    let handle = plugin.start(&task).await.unwrap();
    let pid = instances(&node)[0]["pid"].clone();
    let waiting = plugin.wait(&task);
    node.kill();
    let ill = health(&mut fingerprints, HealthState::Unhealthy).await;
    assert!(ill.health_description.contains("does not answer"), "{ill:?}");
    let refused = plugin.start(&other.pong()).await.unwrap_err();
    assert!(refused.message().contains("does not answer"), "{refused}");
    // A plugin that is started now does not know either, and takes the task over nevertheless.
    plugin.kill();
    let _ = waiting.await;
    let mut second = Plugin::new(&node).await;
    let mut fresh = second.driver.fingerprint(FingerprintRequest {}).await.unwrap().into_inner();
    assert_eq!(next(&mut fresh).await.health(), HealthState::Undetected, "a node that was never seen");
    second.recover(&handle).await.unwrap();
    node.start();
    health(&mut fresh, HealthState::Healthy).await;
    let left = instances(&node);
    assert_eq!((left.len(), &left[0]["pid"]), (1, &pid));
    let waiting = second.wait(&task);
    second.stop(&task).await.unwrap();
    waiting.await.unwrap().unwrap();
    second.destroy(&task, false).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_destroyed_while_the_node_is_away_is_gone_when_it_is_back() {
    let mut node = node();
    let mut plugin = Plugin::new(&node).await;
    let allocation = Allocation::new();
    let task = allocation.pong();
    plugin.start(&task).await.unwrap();
    node.kill();
    assert_eq!(code(plugin.destroy(&task, true).await), Code::Unavailable);
    node.start();
    eventually("it is gone", || instances(&node).is_empty());
    eventually("it is forgotten", || {
        let (mut driver, task_id) = (plugin.driver.clone(), task.id.clone());
        let asked = async move { driver.inspect_task(InspectTaskRequest { task_id }).await };
        tokio::runtime::Handle::current().block_on(asked).is_err()
    });
}

//! Every call of Nomad's, against a real node with real guests; and what drivers get wrong.

mod emulator;

use emulator::{Allocation, PONG, Plugin, code, connect, eventually, instances, launch, node};
use nomad_driver_microvisor::proto::base::{
    ConfigSchemaRequest, PluginInfoRequest, PluginType, SetConfigRequest,
};
use nomad_driver_microvisor::proto::drivers::fingerprint_response::HealthState;
use nomad_driver_microvisor::proto::drivers::network_isolation_spec::NetworkIsolationMode;
use nomad_driver_microvisor::proto::drivers::*;
use nomad_driver_microvisor::proto::health::health_check_response::ServingStatus;
use nomad_driver_microvisor::proto::health::health_client::HealthClient;
use nomad_driver_microvisor::proto::plugin::Empty;
use nomad_driver_microvisor::proto::plugin::grpc_broker_client::GrpcBrokerClient;
use nomad_driver_microvisor::proto::plugin::grpc_controller_client::GrpcControllerClient;
use nomad_driver_microvisor::proto::plugin::grpc_stdio_client::GrpcStdioClient;
use nomad_driver_microvisor::proto::structs::attribute::Value as Attribute;
use serde_json::{Value, json};
use std::time::Duration;
use tokio_stream::StreamExt;
use tonic::Code;
use tonic::codec::Streaming;

/// What comes next of a stream, not waited for for ever.
async fn next<T>(stream: &mut Streaming<T>) -> T {
    let next = tokio::time::timeout(Duration::from_secs(20), stream.message()).await;
    next.expect("something comes").expect("it is no error").expect("it is not the end")
}

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
async fn it_says_where_it_listens_and_is_a_plugin() {
    let node = node();
    let mut plugin = Plugin::new(&node).await;
    let asked = tonic::Request::new(nomad_driver_microvisor::proto::health::HealthCheckRequest {
        service: "plugin".into(),
    });
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
    let (allocation, task) = {
        let a = Allocation::new();
        let t = a.pong();
        (a, t)
    };
    plugin.start(&task).await.unwrap();
    let waiting = plugin.wait(&task);
    assert_eq!(code(plugin.destroy(&task, false).await), Code::FailedPrecondition);
    plugin.destroy(&task, true).await.unwrap();
    assert!(instances(&node).is_empty());
    assert!(waiting.await.unwrap().unwrap().err.contains("removed"));
    drop(allocation);
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
    let waiting = second.wait(&task);
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
async fn signals_swap_pause_and_end() {
    let node = node();
    let mut plugin = Plugin::new(&node).await;
    let allocation = Allocation::new();
    allocation.write("local/a.click", PONG);
    let task = allocation.task(json!({ "config_file": "local/a.click" }));
    plugin.start(&task).await.unwrap();
    let pid = instances(&node)[0]["pid"].clone();
    allocation.write("local/a.click", PONG.replace("ICMPPingResponder", "c :: Counter -> ICMPPingResponder"));
    plugin.signal(&task, "SIGHUP").await.unwrap();
    assert_eq!(plugin.exec(&task, &["read", "c.count"]).await, ("0\n".into(), 0));
    allocation.write("local/a.click", "Nonsense;");
    let refused = plugin.signal(&task, "SIGHUP").await.unwrap_err();
    assert!(refused.message().contains("1:1"), "{refused}");
    assert_eq!(plugin.exec(&task, &["c.count"]).await.1, 0, "what ran does not go on");
    assert_eq!(instances(&node)[0]["pid"], pid);
    plugin.signal(&task, "SIGSTOP").await.unwrap();
    assert_eq!(instances(&node)[0]["state"], "paused");
    plugin.signal(&task, "SIGCONT").await.unwrap();
    assert_eq!(code(plugin.signal(&task, "SIGUSR1").await), Code::InvalidArgument);
    let waiting = plugin.wait(&task);
    plugin.signal(&task, "SIGTERM").await.unwrap();
    waiting.await.unwrap().unwrap();
    plugin.destroy(&task, false).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_reach_handlers() {
    let node = node();
    let mut plugin = Plugin::new(&node).await;
    let allocation = Allocation::new();
    let text = PONG.replace("ICMPPingResponder", "c :: Counter -> ICMPPingResponder");
    let task = allocation.task(json!({ "config": text }));
    plugin.start(&task).await.unwrap();
    assert_eq!(plugin.exec(&task, &["write", "c.reset", "1"]).await, (String::new(), 0));
    assert_eq!(plugin.exec(&task, &["read", "absent.count"]).await.1, 1);
    assert_eq!(plugin.exec(&task, &["ls"]).await.1, 127);
    let setup = exec_task_streaming_request::Setup {
        task_id: task.id.clone(),
        command: vec!["shell".into()],
        tty: false,
    };
    let first = ExecTaskStreamingRequest { setup: Some(setup), ..Default::default() };
    let typed = |data: &str, close| ExecTaskStreamingRequest {
        stdin: Some(ExecTaskStreamingIoOperation { data: data.into(), close }),
        ..Default::default()
    };
    let input = tokio_stream::iter([
        first,
        typed("read c.co", false),
        typed("unt\nstatus\n", false),
        typed("", true),
    ]);
    let mut answers = plugin.driver.exec_task_streaming(input).await.unwrap().into_inner();
    let (mut output, mut status) = (Vec::new(), None);
    while let Some(answer) = answers.message().await.unwrap() {
        output.extend(answer.stdout.map(|o| o.data).unwrap_or_default());
        status = answer.exited.then(|| answer.result.unwrap().exit_code).or(status);
    }
    let output = String::from_utf8(output).unwrap();
    assert!(output.starts_with("0\n") && output.contains("\"state\": \"ready\""), "{output}");
    assert_eq!(status, Some(0));
    plugin.destroy(&task, true).await.unwrap();
}

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
    let silent: Vec<_> =
        (0..20).map(|_| std::os::unix::net::UnixStream::connect(&plugin.socket).unwrap()).collect();
    for mut stream in &silent {
        use std::io::Write;
        stream.write_all(&[0xff; 4096]).unwrap();
    }
    let begun = std::time::Instant::now();
    plugin.inspect(&task).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2));
    // Streams that are cut.
    drop((held, hanging, silent));
    let waiting = plugin.wait(&task);
    waiting.abort();
    plugin.stop(&task).await.unwrap();
    plugin.destroy(&task, false).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_and_calls_of_later_lines_do_no_harm() {
    let node = node();
    let mut plugin = Plugin::new(&node).await;
    plugin.driver.init(InitRequest {}).await.unwrap();
    let allocation = Allocation::new();
    let task = allocation.pong();
    // A start with fields that this driver has never heard of, in the message and in the task: NUMA, workload users.
    let mut bytes = prost::Message::encode_to_vec(&StartTaskRequest { task: Some(task.clone()) });
    let mut inner = prost::Message::encode_to_vec(&task);
    prost::encoding::string::encode(900, &"later".to_owned(), &mut inner);
    prost::encoding::uint64::encode(901, &7, &mut inner);
    bytes.clear();
    prost::encoding::bytes::encode(1, &inner, &mut bytes);
    prost::encoding::string::encode(902, &"later".to_owned(), &mut bytes);
    raw(&plugin, "StartTask", bytes).await.unwrap();
    assert_eq!(instances(&node).len(), 1);
    let unheard = raw(&plugin, "CheckpointTask", Vec::new()).await.unwrap_err();
    assert_eq!(unheard.code(), Code::Unimplemented);
    let garbage = raw(&plugin, "StartTask", vec![0xff; 64]).await.unwrap_err();
    assert_ne!(garbage.code(), Code::Ok);
    plugin.driver.shutdown(ShutdownRequest {}).await.unwrap();
    assert_eq!(instances(&node)[0]["state"], "ready", "a plugin that is shut down takes its tasks with it");
    plugin.destroy(&task, true).await.unwrap();
}

/// A call by its name, with bytes as they are.
async fn raw(plugin: &Plugin, call: &str, bytes: Vec<u8>) -> Result<Vec<u8>, tonic::Status> {
    let mut client = tonic::client::Grpc::new(plugin.channel.clone());
    client.ready().await.unwrap();
    let path = format!("/hashicorp.nomad.plugins.drivers.proto.Driver/{call}").parse().unwrap();
    let answer = client.unary(tonic::Request::new(bytes), path, emulator::Raw).await?;
    Ok(answer.into_inner())
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

#[tokio::test(flavor = "multi_thread")]
async fn a_log_without_a_reader_blocks_nobody() {
    let node = node();
    let mut plugin = Plugin::new(&node).await;
    let allocation = Allocation::new();
    let task = allocation.task(json!({ "config": format!("{PONG}\nScript(print \"hello\");") }));
    plugin.start(&task).await.unwrap();
    let waiting = plugin.wait(&task);
    let begun = std::time::Instant::now();
    plugin.stop(&task).await.unwrap();
    waiting.await.unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    plugin.destroy(&task, false).await.unwrap();
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
    let begun = std::time::Instant::now();
    waiting.await.unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    plugin.destroy(&task, false).await.unwrap();
}

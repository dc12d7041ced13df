//! What is asked of a running task: signals, and the commands of `nomad alloc exec`.

use crate::emulator::{Allocation, PONG, Plugin, code, instances, node};
use nomad_driver_microvisor::proto::drivers::*;
use serde_json::json;
use tonic::Code;

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
async fn a_signal_to_a_task_that_ends_is_answered() {
    let node = node();
    let mut plugin = Plugin::new(&node).await;
    let allocation = Allocation::new();
    for _ in 0..5 {
        let task = allocation.pong();
        plugin.start(&task).await.unwrap();
        let (mut driver, task_id) = (plugin.driver.clone(), task.id.clone());
        let signalling = tokio::spawn(async move {
            let asked = SignalTaskRequest { task_id, signal: "SIGTERM".into() };
            tokio::time::timeout(std::time::Duration::from_secs(10), driver.signal_task(asked)).await
        });
        plugin.stop(&task).await.unwrap();
        let answered = signalling.await.unwrap().expect("it is answered");
        let code = answered.map_or_else(|refused| refused.code(), |_| Code::Ok);
        assert!([Code::Ok, Code::FailedPrecondition, Code::NotFound].contains(&code), "{code:?}");
        plugin.destroy(&task, false).await.unwrap();
    }
    assert!(instances(&node).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_s_stream_stays_open_for_input_that_it_does_not_want() {
    let node = node();
    let mut plugin = Plugin::new(&node).await;
    let allocation = Allocation::new();
    let task = allocation.pong();
    plugin.start(&task).await.unwrap();
    let setup = exec_task_streaming_request::Setup {
        task_id: task.id.clone(),
        command: vec!["status".into()],
        tty: false,
    };
    let (to, input) = tokio::sync::mpsc::channel(4);
    to.send(ExecTaskStreamingRequest { setup: Some(setup), ..Default::default() }).await.unwrap();
    let input = tokio_stream::wrappers::ReceiverStream::new(input);
    let mut answers = plugin.driver.exec_task_streaming(input).await.unwrap().into_inner();
    while !answers.message().await.unwrap().expect("it says that it has exited").exited {}
    let soon = std::time::Duration::from_millis(50);
    assert!(tokio::time::timeout(soon, answers.message()).await.is_err(), "the stream has ended");
    let stdin = Some(ExecTaskStreamingIoOperation { data: Vec::new(), close: true });
    to.send(ExecTaskStreamingRequest { stdin, ..Default::default() }).await.unwrap();
    let end = tokio::time::timeout(soon, answers.message()).await.expect("the stream ends");
    assert!(end.unwrap().is_none());
    plugin.destroy(&task, true).await.unwrap();
}

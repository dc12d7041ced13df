//! Messages byte by byte: those of Nomad 1.6, and of later lines.

use crate::emulator::{Allocation, Plugin, Raw, instances, node};
use nomad_driver_microvisor::proto::drivers::{InitRequest, ShutdownRequest, StartTaskRequest};
use nomad_driver_microvisor::proto::{base, drivers, hclspec, structs};
use tonic::Code;

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
    let answer = client.unary(tonic::Request::new(bytes), path, Raw).await?;
    Ok(answer.into_inner())
}

/// Messages as Nomad 1.6.3 encodes them, every field filled: `go run ./layouts` in `e2e/agent` printed them.
const LAYOUTS: &str = include_str!("layouts.txt");

/// Whether a message that is read and written again is what it was: a field that is not known, or known as something else, is
/// lost or refused. Go writes what is one of several last, and each field has values of its own.
fn keeps<M: prost::Message + Default + std::fmt::Debug>(name: &str, bytes: &[u8]) {
    let read = M::decode(bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
    let sorted = |mut bytes: Vec<u8>| {
        bytes.sort_unstable();
        bytes
    };
    assert_eq!(sorted(read.encode_to_vec()), sorted(bytes.to_vec()), "{name}: {read:?}");
}

macro_rules! known {
    ($($package:ident $folder:literal { $($message:ident)* })* $(, { $($other:literal = $kind:ty;)* })?) => {
        |name: &str, bytes: &[u8]| match name {
            $($(concat!($folder, ".", stringify!($message)) => {
                keeps::<$package::$message>(name, bytes);
                true
            })*)*
            $($($other => {
                keeps::<$kind>(name, bytes);
                true
            })*)?
            _ => false,
        }
    };
}

#[test]
fn messages_are_those_of_nomad() {
    let known = known! {
        base "base.proto" {
            ConfigSchemaRequest ConfigSchemaResponse NomadConfig NomadDriverConfig PluginInfoRequest PluginInfoResponse
            SetConfigRequest SetConfigResponse
        }
        drivers "drivers.proto" {
            AllocatedCpuResources AllocatedMemoryResources AllocatedTaskResources CapabilitiesRequest CapabilitiesResponse
            CreateNetworkRequest CreateNetworkResponse DestroyNetworkRequest DestroyNetworkResponse DestroyTaskRequest
            DestroyTaskResponse Device DriverCapabilities DriverTaskEvent ExecTaskRequest ExecTaskResponse
            ExecTaskStreamingRequest ExecTaskStreamingResponse ExitResult FingerprintRequest FingerprintResponse HostsConfig
            InspectTaskRequest InspectTaskResponse LinuxResources MemoryUsage Mount NetworkIsolationSpec NetworkOverride
            NetworkPort NetworkResource PortMapping RecoverTaskRequest RecoverTaskResponse Resources SignalTaskRequest
            SignalTaskResponse StartTaskRequest StartTaskResponse StopTaskRequest StopTaskResponse TaskConfig
            TaskConfigSchemaRequest TaskConfigSchemaResponse TaskDriverStatus TaskEventsRequest TaskHandle TaskResourceUsage
            TaskStats TaskStatsRequest TaskStatsResponse TaskStatus WaitTaskRequest WaitTaskResponse
        }
        hclspec "shared.hclspec" { Array Attr Block BlockAttrs BlockList BlockMap BlockSet Default Literal Object Spec }
        structs "shared.structs" { Attribute RecoverableError },
        {
            "drivers.proto.CPUUsage" = drivers::CpuUsage;
            "drivers.proto.DNSConfig" = drivers::DnsConfig;
            "drivers.proto.ExecTaskStreamingIOOperation" = drivers::ExecTaskStreamingIoOperation;
            "drivers.proto.ExecTaskStreamingRequest.Setup" = drivers::exec_task_streaming_request::Setup;
            "drivers.proto.ExecTaskStreamingRequest.TerminalSize" = drivers::exec_task_streaming_request::TerminalSize;
        }
    };
    let unknown: Vec<&str> = LAYOUTS
        .lines()
        .filter_map(|line| {
            let (name, hex) = line.split_once(' ').unwrap_or((line, ""));
            let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
            (!known(name, &bytes)).then_some(name)
        })
        .collect();
    // Those of device plugins: of theirs a fingerprint has the attributes alone.
    assert_eq!(unknown, ["shared.structs.StatObject", "shared.structs.StatValue"]);
}

//! From Nomad's configuration of a task to what the node is asked for.

use super::{bridge, label};
use crate::proto::drivers::TaskConfig;
use crate::proto::drivers::network_isolation_spec::NetworkIsolationMode;
use crate::schema::agent::Agent;
use crate::schema::job::{Attachment, Job};
use api::flavor::Flavor;
use api::instance::{DeviceSpec, InstanceSpec, OnDemand, Restart, is_name};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Component, Path, PathBuf};

/// Longest name that the node takes.
const NAME: usize = 63;
/// Longest configuration file, bytes: what the node takes.
const LONGEST: u64 = 4 << 20;

/// What a task needs of the node.
pub struct Request {
    /// The instance.
    pub spec: InstanceSpec,
    /// Its size, by a name made of what it says.
    pub flavor: Flavor,
    /// Where its image comes from, if the node may not have it.
    pub source: Source,
    /// The namespace with the allocation's address, in bridge mode.
    pub namespace: Option<PathBuf>,
}

/// Where an image comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The node has it.
    Node,
    /// A file of the task.
    File(PathBuf),
    /// Somewhere else, with its digest.
    Url(String, String),
}

/// A digest in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A task's folder in its allocation's.
pub fn folder(config: &TaskConfig) -> PathBuf {
    Path::new(&config.alloc_dir).join(&config.name)
}

/// The name of a task's instance: the same for each start of it, so that there are never two.
pub fn name(config: &TaskConfig) -> String {
    instance_name(&config.name, &config.alloc_id)
}

/// The name of the instance of a task of an allocation.
pub fn instance_name(task: &str, allocation: &str) -> String {
    let room = NAME - allocation.len().min(36) - 1;
    let fits = task.len() <= room && is_name(task);
    let task = if fits {
        task.to_owned()
    } else {
        let plain = task.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' });
        let plain: String = plain.take(room - 9).collect();
        format!("t{}-{}", plain.trim_start_matches('-'), &digest(task.as_bytes())[..7])
    };
    format!("{task}-{allocation}").chars().take(NAME).collect()
}

/// A file of the task: in its folder, or in the folder that its allocation's tasks share.
pub fn file(config: &TaskConfig, path: &str) -> Result<PathBuf, String> {
    let asked = Path::new(path);
    let climbs = asked.components().any(|c| matches!(c, Component::ParentDir));
    let found = if asked.is_absolute() { asked.to_owned() } else { folder(config).join(asked) };
    let parent = Path::new(&config.alloc_dir);
    if climbs || !found.starts_with(parent) {
        return Err(format!("{path}: not in the task's folder"));
    }
    // A link must not lead out of it either.
    let real = found.canonicalize().map_err(|e| format!("{path}: {e}"))?;
    let parent = parent.canonicalize().map_err(|e| format!("{}: {e}", parent.display()))?;
    if !real.starts_with(&parent) {
        return Err(format!("{path}: leads out of the allocation's folder"));
    }
    Ok(real)
}

/// The text of a task's configuration, as it is now.
pub fn configuration(config: &TaskConfig, job: &Job) -> Result<Option<String>, String> {
    if job.config_file.is_empty() {
        return Ok(Some(job.config.clone()).filter(|text| !text.is_empty()));
    }
    let path = file(config, &job.config_file)?;
    let length = path.metadata().map_err(|e| format!("{}: {e}", job.config_file))?.len();
    if length > LONGEST {
        return Err(format!("{}: {length} bytes, and at most {LONGEST} are taken", job.config_file));
    }
    std::fs::read_to_string(&path).map(Some).map_err(|e| format!("{}: {e}", job.config_file))
}

fn parsed<T: std::str::FromStr>(key: &str, text: &str) -> Result<Option<T>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| format!("network: {key}: {text:?} is no {key}"))
}

fn device(asked: &Attachment) -> Result<DeviceSpec, String> {
    Ok(DeviceSpec {
        network: asked.name.clone(),
        address: parsed("address", &asked.address)?,
        prefix: Some(asked.prefix).filter(|&p| p != 0),
        gateway: parsed("gateway", &asked.gateway)?,
        address6: parsed("address6", &asked.address6)?,
        prefix6: Some(asked.prefix6).filter(|&p| p != 0),
        gateway6: parsed("gateway6", &asked.gateway6)?,
        mac: serde_json::from_value(if asked.mac.is_empty() {
            serde_json::Value::Null
        } else {
            asked.mac.as_str().into()
        })
        .map_err(|_| format!("network: mac: {:?} is not an Ethernet address", asked.mac))?,
        anti_spoofing: asked.anti_spoofing,
        ..DeviceSpec::default()
    })
}

/// The size, under a name that says all of it, so that another size has another.
fn flavor(config: &TaskConfig, job: &Job) -> Flavor {
    let resources = config.resources.as_ref();
    let shares = resources.and_then(|r| r.linux_resources.as_ref()).map_or(0, |l| l.cpu_shares);
    let positive = |rate: f64| Some(rate).filter(|&r| r > 0.0);
    let mut flavor = Flavor {
        name: String::new(),
        memory_mib: None,
        vcpus: None,
        disk_mib: None,
        cpu_shares: u64::try_from(shares).ok().filter(|&s| s > 0).map(|s| s.clamp(2, 262_144)),
        cpu_percent: None,
        cpus: None,
        send_mbit: positive(job.send_mbit),
        receive_mbit: positive(job.receive_mbit),
        queue: Some(job.queue).filter(|&q| q != 0),
        poll_us: job.poll_us,
        prepared: job.prepared,
    };
    let all = serde_json::to_vec(&flavor).unwrap_or_default();
    flavor.name = format!("nomad-{}", &digest(&all)[..16]);
    flavor
}

fn memory(config: &TaskConfig, job: &Job) -> Result<Option<u64>, String> {
    let allocated = config.resources.as_ref().and_then(|r| r.allocated_resources.as_ref());
    let whole = allocated.and_then(|a| a.memory.as_ref()).map_or(0, |m| m.memory_mb);
    let whole = u64::try_from(whole).unwrap_or(0);
    if job.memory_mib > whole && whole > 0 {
        return Err(format!("memory_mib: {} is more than the task's memory, {whole}", job.memory_mib));
    }
    Ok(Some(if job.memory_mib > 0 { job.memory_mib } else { whole }).filter(|&m| m > 0))
}

fn image(config: &TaskConfig, job: &Job) -> Result<(String, Source), String> {
    if job.image.contains("://") {
        let digest = job.image_sha256.to_lowercase();
        return Ok((format!("nomad-{}", &digest[..32]), Source::Url(job.image.clone(), digest)));
    }
    if job.image.contains('/') {
        return Ok((String::new(), Source::File(file(config, &job.image)?)));
    }
    Ok((job.image.clone(), Source::Node))
}

impl Request {
    /// What a task needs; or what is wrong with what it says.
    pub fn of(config: &TaskConfig, job: &Job, agent: &Agent) -> Result<Self, String> {
        let (image, source) = image(config, job)?;
        let isolation = config.network_isolation_spec.as_ref();
        let mode = isolation.map_or(NetworkIsolationMode::Host, |i| i.mode());
        let namespace = match mode {
            // Another task of the group has its address.
            NetworkIsolationMode::Group if job.allocation_address == Some(false) => None,
            NetworkIsolationMode::Group => {
                let path = isolation.map(|i| i.path.clone()).filter(|p| !p.is_empty());
                Some(PathBuf::from(path.ok_or("the allocation has no network namespace")?))
            }
            NetworkIsolationMode::Host | NetworkIsolationMode::None => None,
            NetworkIsolationMode::Task => {
                return Err(
                    "a network of the task's own: write network blocks into its config instead".into()
                );
            }
        };
        let mut devices = job.network.iter().map(device).collect::<Result<Vec<_>, _>>()?;
        if devices.is_empty() && namespace.is_none() && !agent.network.is_empty() {
            devices.push(DeviceSpec { network: agent.network.clone(), ..DeviceSpec::default() });
        }
        let flavor = flavor(config, job);
        let mut labels = BTreeMap::from([
            (label::ALLOCATION, &config.alloc_id),
            (label::TASK, &config.name),
            (label::ID, &config.id),
            (label::JOB, &config.job_id),
            (label::GROUP, &config.task_group_name),
            (label::NAMESPACE, &config.namespace),
        ])
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .collect::<BTreeMap<_, _>>();
        if namespace.is_some() {
            labels.insert(label::BRIDGE.into(), bridge::name(config));
        }
        let spec = InstanceSpec {
            name: Some(name(config)),
            image,
            config: configuration(config, job)?,
            variables: job.variables(),
            flavor: Some(flavor.name.clone()),
            memory_mib: memory(config, job)?,
            devices,
            labels,
            // Nomad starts tasks again, by its own policy.
            restart: Restart::Never,
            health: None,
            on_demand: Some(job.on_demand_s).filter(|&s| s > 0).map(|idle_s| OnDemand { idle_s }),
        };
        Ok(Self { spec, flavor, source, namespace })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::drivers::{
        AllocatedMemoryResources, AllocatedTaskResources, LinuxResources, Resources,
    };

    fn config(name: &str) -> TaskConfig {
        let memory = AllocatedMemoryResources { memory_mb: 32, memory_max_mb: 0 };
        let resources = Resources {
            allocated_resources: Some(AllocatedTaskResources { memory: Some(memory), ..Default::default() }),
            linux_resources: Some(LinuxResources { cpu_shares: 100, ..Default::default() }),
            ports: vec![],
        };
        TaskConfig {
            id: format!("7a52a8a2-6d1f-4b3c-9d5e-0c7e5f9f8a11/{name}/0123abcd"),
            name: name.into(),
            alloc_id: "7a52a8a2-6d1f-4b3c-9d5e-0c7e5f9f8a11".into(),
            resources: Some(resources),
            ..TaskConfig::default()
        }
    }

    #[test]
    fn every_task_has_a_name_that_the_node_takes_and_its_own() {
        let names = [
            "fw",
            "a task, with words",
            "über",
            "a-name-that-is-far-too-long-for-it",
            "a-name-that-is-far-too-long-for-it2",
        ];
        let made: std::collections::BTreeSet<String> = names.iter().map(|n| name(&config(n))).collect();
        assert_eq!(made.len(), names.len());
        assert!(made.iter().all(|n| is_name(n) && n.ends_with("0c7e5f9f8a11")), "{made:?}");
    }

    #[test]
    fn resources_become_memory_and_shares() {
        let job = Job { image: "clickos".into(), config: "x".into(), ..Job::default() };
        let request = Request::of(&config("fw"), &job, &Agent::default()).unwrap();
        assert_eq!((request.spec.memory_mib, request.flavor.cpu_shares), (Some(32), Some(100)));
        let less = Job { memory_mib: 8, ..job.clone() };
        assert_eq!(Request::of(&config("fw"), &less, &Agent::default()).unwrap().spec.memory_mib, Some(8));
        let more = Job { memory_mib: 64, ..job };
        assert!(Request::of(&config("fw"), &more, &Agent::default()).is_err());
    }

    #[test]
    fn a_task_may_leave_the_allocation_s_address_to_another() {
        let isolation = crate::proto::drivers::NetworkIsolationSpec {
            mode: NetworkIsolationMode::Group.into(),
            path: "/run/netns/a".into(),
            ..Default::default()
        };
        let config = TaskConfig { network_isolation_spec: Some(isolation), ..config("fw") };
        let agent = Agent { network: "blue".into(), ..Agent::default() };
        let of = |allocation_address| {
            let job = Job { image: "clickos".into(), allocation_address, ..Job::default() };
            Request::of(&config, &job, &agent).unwrap()
        };
        assert!(of(None).namespace.is_some() && of(None).spec.devices.is_empty());
        assert!(of(Some(false)).namespace.is_none());
        assert_eq!(of(Some(false)).spec.devices[0].network, "blue");
    }

    #[test]
    fn sizes_that_differ_have_different_names() {
        let of = |job: Job| flavor(&config("fw"), &job).name;
        assert_eq!(of(Job::default()), of(Job::default()));
        assert_ne!(of(Job::default()), of(Job { queue: 64, ..Job::default() }));
    }

    #[test]
    fn files_outside_the_allocation_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let config = TaskConfig { alloc_dir: folder.path().display().to_string(), ..config("fw") };
        std::fs::create_dir_all(folder.path().join("fw/local")).unwrap();
        std::fs::write(folder.path().join("fw/local/a.click"), "a").unwrap();
        std::os::unix::fs::symlink("/etc/hostname", folder.path().join("fw/local/link")).unwrap();
        assert!(file(&config, "local/a.click").is_ok());
        for wrong in ["../../etc/passwd", "/etc/passwd", "local/link", "local/absent"] {
            assert!(file(&config, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn addresses_that_are_none_are_refused_with_their_key() {
        let wrong = |key: &str, attachment: Attachment| {
            let job = Job { network: vec![attachment], image: "x".into(), ..Job::default() };
            assert!(
                Request::of(&config("fw"), &job, &Agent::default()).err().unwrap().contains(key),
                "{key}"
            );
        };
        wrong("address", Attachment { address: "10.0.0".into(), ..Attachment::default() });
        wrong("address6", Attachment { address6: "fd00:".into(), ..Attachment::default() });
        wrong("mac", Attachment { mac: "zz".into(), ..Attachment::default() });
    }
}

//! Control groups: a share of the processors and a limit of memory for each monitor. Version 2 where it has both
//! controllers, otherwise version 1 for those that it lacks.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;
use uuid::Uuid;

/// Fewest and most shares of the processors; 1024 are an instance's without a flavor that says so.
pub const SHARES_RANGE: std::ops::RangeInclusive<u64> = 2..=262_144;
/// Least and most processor time that can be a limit, percent of one processor.
pub const PERCENT_RANGE: std::ops::RangeInclusive<u32> = 1..=100_000;
/// In every such period, microseconds, a group may use its limit.
const PERIOD_US: u64 = 100_000;
/// What a monitor may use beside the guest's memory, bytes.
const MONITOR: u64 = 64 << 20;
/// Before a group that is not empty yet is removed.
const PAUSE: Duration = Duration::from_millis(200);
/// How often that is tried within the pause, when the daemon ends.
const TRIES: u32 = 20;
/// In an instance's folder: the name of its group.
const NAME: &str = "cgroup";

/// What a hierarchy is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Controls {
    /// Version 1, processor.
    Cpu,
    /// Version 1, memory.
    Memory,
    /// Version 2, with the controllers that it has.
    Unified { cpu: bool, memory: bool },
}

/// The node's own groups, one in each hierarchy that it uses.
#[derive(Debug, Default)]
pub struct Cgroups {
    hierarchies: Vec<(Controls, PathBuf)>,
}

/// A monitor's groups, of one name.
pub struct Group {
    folders: Vec<(Controls, PathBuf)>,
    unified: Option<OwnedFd>,
}

/// Hierarchies from the text of /proc/mounts.
fn mounted(mounts: &str) -> Vec<(Controls, PathBuf)> {
    let mut unified = None;
    let mut first = Vec::new();
    for line in mounts.lines() {
        let mut words = line.split(' ');
        let (Some(_), Some(path), Some(kind), Some(options)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            continue;
        };
        match kind {
            "cgroup2" if unified.is_none() => {
                let text = fs::read_to_string(Path::new(path).join("cgroup.controllers")).unwrap_or_default();
                let has = |name| text.split_whitespace().any(|word| word == name);
                unified = Some((has("cpu"), has("memory"), PathBuf::from(path)));
            }
            "cgroup" if options.split(',').any(|o| o == "cpu") => first.push((Controls::Cpu, path.into())),
            "cgroup" if options.split(',').any(|o| o == "memory") => {
                first.push((Controls::Memory, path.into()))
            }
            _ => {}
        }
    }
    if let Some((cpu, memory, path)) = unified.filter(|(cpu, memory, _)| *cpu || *memory) {
        first.retain(|(c, _)| !(*c == Controls::Cpu && cpu || *c == Controls::Memory && memory));
        first.push((Controls::Unified { cpu, memory }, path));
    }
    first
}

impl Cgroups {
    /// Makes the node's groups, named after its folder.
    pub fn begin(run: &Path) -> io::Result<Self> {
        let name = format!("microvisor{}", run.to_string_lossy().replace('/', "-"));
        let mut hierarchies = Vec::new();
        for (controls, mount) in mounted(&fs::read_to_string("/proc/mounts")?) {
            let base = mount.join(&name);
            fs::create_dir_all(&base)?;
            if let Controls::Unified { cpu, memory } = controls {
                let words: Vec<_> =
                    [(cpu, "+cpu"), (memory, "+memory")].iter().filter(|w| w.0).map(|w| w.1).collect();
                for parent in [&mount, &base] {
                    fs::write(parent.join("cgroup.subtree_control"), words.join(" "))?;
                }
            }
            hierarchies.push((controls, base));
        }
        Ok(Self { hierarchies })
    }

    /// Removes what a former daemon has left that belongs to none of the instances in `folder`.
    pub fn clear(&self, folder: &Path) {
        let instances = fs::read_dir(folder).into_iter().flatten().flatten();
        let kept: Vec<String> =
            instances.filter_map(|i| fs::read_to_string(i.path().join(NAME)).ok()).collect();
        for (_, base) in &self.hierarchies {
            for entry in fs::read_dir(base).into_iter().flatten().flatten() {
                let known = entry.file_name().to_str().is_some_and(|n| kept.iter().any(|k| k == n));
                if !known {
                    remove(entry.path());
                }
            }
        }
    }

    /// The processes of each group that a monitor has or had.
    pub fn processes(&self) -> Vec<Vec<u32>> {
        let mut all = Vec::new();
        for (_, base) in &self.hierarchies {
            for entry in fs::read_dir(base).into_iter().flatten().flatten() {
                // A file of the group itself has no such file in it.
                let Ok(text) = fs::read_to_string(entry.path().join("cgroup.procs")) else { continue };
                all.push(text.lines().filter_map(|line| line.parse().ok()).filter(|&pid| pid != 0).collect());
            }
        }
        all
    }

    /// Removes the node's groups, if nothing is in them any more.
    pub fn close(&self) {
        for (_, base) in &self.hierarchies {
            for entry in fs::read_dir(base).into_iter().flatten().flatten() {
                let path = entry.path();
                let is_empty = || fs::read_to_string(path.join("cgroup.procs")).is_ok_and(|t| t.is_empty());
                // A process that has just ended is counted a moment longer.
                for _ in 0..TRIES {
                    if !is_empty() || fs::remove_dir(&path).is_ok() {
                        break;
                    }
                    std::thread::sleep(PAUSE / TRIES);
                }
            }
            let _ = fs::remove_dir(base);
        }
    }

    /// Makes a group for a monitor with a folder; `None` where the host has none.
    pub fn make(&self, folder: &Path) -> io::Result<Option<Group>> {
        if self.hierarchies.is_empty() {
            return Ok(None);
        }
        let name = Uuid::now_v7().to_string();
        // First: what is made is found again.
        fs::write(folder.join(NAME), &name)?;
        let mut group = Group { folders: Vec::new(), unified: None };
        for (controls, base) in &self.hierarchies {
            let path = base.join(&name);
            fs::create_dir(&path)?;
            if matches!(controls, Controls::Unified { .. }) {
                group.unified = Some(File::open(&path)?.into());
            }
            group.folders.push((*controls, path));
        }
        Ok(Some(group))
    }

    /// Removes the group of the monitor with a folder, once it has ended.
    pub fn remove(&self, folder: &Path) {
        let Ok(name) = fs::read_to_string(folder.join(NAME)) else { return };
        for (_, base) in &self.hierarchies {
            remove(base.join(&name));
        }
    }
}

/// Removes a group's folder; the files in it are the kernel's.
fn remove(path: PathBuf) {
    if fs::remove_dir(&path).is_err_and(|e| e.kind() == io::ErrorKind::ResourceBusy) {
        // A process that has just ended is counted a moment longer.
        tokio::spawn(async move {
            tokio::time::sleep(PAUSE).await;
            let _ = fs::remove_dir(path);
        });
    }
}

impl Group {
    /// Files that a process writes itself into before it begins.
    pub fn tasks(&self) -> Vec<PathBuf> {
        let first = self.folders.iter().filter(|(c, _)| !matches!(c, Controls::Unified { .. }));
        first.map(|(_, path)| path.join("tasks")).collect()
    }

    /// Its monitor's share, if it is not what all have, the most that it may use, percent of a processor, and memory for a
    /// guest of so many bytes.
    pub fn limit(&self, shares: Option<u64>, percent: Option<u32>, guest: u64) -> io::Result<()> {
        let memory_limit = guest + MONITOR;
        for (controls, folder) in &self.folders {
            let set = |file: &str, value: u64| fs::write(folder.join(file), value.to_string());
            let quota = percent.map(|percent| u64::from(percent) * PERIOD_US / 100);
            match *controls {
                Controls::Cpu => {
                    shares.map_or(Ok(()), |s| set("cpu.shares", s))?;
                    if let Some(quota) = quota {
                        set("cpu.cfs_period_us", PERIOD_US)?;
                        set("cpu.cfs_quota_us", quota)?;
                    }
                }
                Controls::Memory => set("memory.limit_in_bytes", memory_limit)?,
                Controls::Unified { cpu, memory } => {
                    if let Some(shares) = shares.filter(|_| cpu) {
                        set("cpu.weight", weight(shares))?;
                    }
                    if let Some(quota) = quota.filter(|_| cpu) {
                        fs::write(folder.join("cpu.max"), format!("{quota} {PERIOD_US}"))?;
                    }
                    if memory {
                        set("memory.max", memory_limit)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The group of version 2.
    pub fn unified(&self) -> Option<&OwnedFd> {
        self.unified.as_ref()
    }
}

/// Shares of version 1, 2 to 262144, as a weight of version 2, 1 to 10000: the curve of runc and crun, on which 2, 1024
/// and 262144 shares, the least, the default and the most, are 1, 100 and 10000.
fn weight(shares: u64) -> u64 {
    let exponent = (shares.clamp(*SHARES_RANGE.start(), *SHARES_RANGE.end()) as f64).log2();
    let weight = 10f64.powf((exponent * exponent + 125.0 * exponent) / 612.0 - 7.0 / 34.0);
    (weight.ceil() as u64).clamp(1, 10_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_is_used_for_what_version_2_lacks() {
        let unified = tempfile::tempdir().unwrap();
        let controllers = unified.path().join("cgroup.controllers");
        let mounts = format!(
            "cgroup /c cgroup rw,cpu,cpuacct 0 0\ncgroup /m cgroup rw,memory 0 0\ncgroup2 {} cgroup2 rw 0 0\n",
            unified.path().display()
        );
        let both = |text: &str| {
            fs::write(&controllers, text).unwrap();
            mounted(&mounts).into_iter().map(|(c, _)| c).collect::<Vec<_>>()
        };
        assert_eq!(both("hugetlb\n"), [Controls::Cpu, Controls::Memory]);
        assert_eq!(both("cpu io memory\n"), [Controls::Unified { cpu: true, memory: true }]);
        assert_eq!(both("memory\n"), [Controls::Cpu, Controls::Unified { cpu: false, memory: true }]);
    }

    #[test]
    fn shares_become_weights() {
        assert_eq!((weight(2), weight(1024), weight(262_144)), (1, 100, 10_000));
        assert!(weight(512) < weight(1024) && weight(1024) < weight(2048));
    }
}

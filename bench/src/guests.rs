//! Guests and other programs that measurements start, and the processors that they run on.

use crate::stop;
use e2e::{program, root, run};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The client's processor, and the one opposite.
pub const NEAR: &str = "0";
/// The server's.
pub const FAR: &str = "1";

/// A segment of two ends.
pub const WIRE: &str = "point-to-point = true\n";

/// A process, ended with this.
pub struct Running(Child);

impl Running {
    /// Its number.
    pub fn pid(&self) -> u64 {
        self.0.id().into()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts one whose output nobody wants.
pub fn start(command: &mut Command) -> Running {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Running(command.spawn().unwrap_or_else(|e| stop(&format!("{command:?}: {e}"), 1)))
}

fn pin(task: &str, cpu: &str) {
    let outcome = run(Command::new("taskset").args(["-p", "-c", cpu, task]));
    if outcome.status != 0 {
        stop(&format!("taskset: {}", outcome.err), 1);
    }
}

/// Puts each thread of a process where its name says.
fn place(pid: u32, cpu: impl Fn(&str) -> &'static str) {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    for task in tasks {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        pin(&task.file_name().to_string_lossy(), cpu(name.trim()));
    }
}

/// A guest on a net device; its threads have their places.
pub fn guest(image: &str, net: &str, options: &[&str]) -> Running {
    let guest = free_guest(image, net, options);
    place(guest.0.id(), |name| if name == "io" { NEAR } else { FAR });
    guest
}

/// The same where the scheduler puts it.
pub fn free_guest(image: &str, net: &str, options: &[&str]) -> Running {
    let mut command = Command::new(program("microvisor-vmm"));
    command.arg("--image").arg(root().join("target/images").join(image));
    command.args(["--net", net, "--console", "off"]).args(options);
    let guest = start(&mut command);
    std::thread::sleep(Duration::from_millis(500));
    guest
}

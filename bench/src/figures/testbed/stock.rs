//! The stock kernel: Linux as Debian builds it, in a virtual machine of QEMU/KVM, with a virtio card on a TAP. Only where
//! the processor runs a guest's ring 0 by itself.

use super::cpu_placement::CpuPlacement;
use super::host::hardware_virtualisation;
use super::namespace::{Folder, Namespace};
use super::process::{Error, Running, failed, on_path, run, until};
use super::setup::{CLIENT, SERVER, Server, Setup};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};

/// Names the folder of an unpacked `linux-image` package, if it shall not be the host's own.
const KERNEL: &str = "MICROVISOR_STOCK_KERNEL";
/// Set: go on without VT-x and SVM, by emulation. To try the machinery, not to compare.
const EMULATE: &str = "MICROVISOR_STOCK_EMULATED";
/// What a virtio card takes, in the order of loading; what is built in is passed over.
const MODULES: [&str; 8] = [
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "failover",
    "net_failover",
    "virtio_net",
];

fn is_emulated() -> bool {
    std::env::var_os(EMULATE).is_some()
}

/// Why it cannot take part, in words.
pub fn why_not() -> Option<String> {
    let is_not = "A stock hypervisor (QEMU/KVM with Debian's kernel) is not shown:";
    if hardware_virtualisation().is_none() && !is_emulated() {
        return Some(format!(
            "{is_not} this processor offers neither VT-x nor SVM, and without them code in a guest's ring 0 is emulated, \
             which would time the emulator and not the hypervisor."
        ));
    }
    let programs =
        [("qemu-system-x86_64", "qemu-system-x86"), ("busybox", "busybox-static"), ("cpio", "cpio")];
    for (program, package) in programs {
        if on_path(program).is_none() {
            return Some(format!("{is_not} {program} is missing: apt-get install {package}"));
        }
    }
    kernel().is_none().then(|| {
        format!(
            "{is_not} there is no kernel in /boot: apt-get install linux-image-amd64, or name an unpacked one by {KERNEL}."
        )
    })
}

/// The kernel, its release, and the folder of its modules.
fn kernel() -> Option<(PathBuf, PathBuf)> {
    let root = PathBuf::from(std::env::var_os(KERNEL).unwrap_or_else(|| OsString::from("/")));
    let entries = fs::read_dir(root.join("boot")).ok()?;
    let mut names: Vec<String> =
        entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    let name = names.into_iter().rfind(|name| name.starts_with("vmlinuz-"))?;
    let release = name.strip_prefix("vmlinuz-")?;
    let modules = [root.join("lib/modules"), root.join("usr/lib/modules")]
        .map(|folder| folder.join(release))
        .into_iter()
        .find(|folder| folder.is_dir())?;
    Some((root.join("boot").join(&name), modules))
}

/// The kernel's file name, for the record.
pub fn version() -> String {
    kernel().map_or_else(String::new, |(file, _)| file.display().to_string())
}

/// A file of this name below a folder.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    fs::read_dir(folder).ok()?.flatten().find_map(|entry| {
        let path = entry.path();
        if entry.file_type().ok()?.is_dir() {
            find(&path, name)
        } else {
            (path.file_name()?.to_str()?.split_once(".ko")?.0 == name).then_some(path)
        }
    })
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(from, to).map(drop)
}

/// A program with the libraries that it asks for.
fn with_libraries(program: &str, root: &Path) -> Result<(), Error> {
    let Some(path) = on_path(program) else { return failed(format!("{program} is missing")) };
    let said = run(Command::new("ldd").arg(&path))?;
    let libraries = said.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from);
    for file in libraries.chain([path.clone()]) {
        let inside = root.join(file.strip_prefix("/").unwrap_or(&file));
        copy(&file, &inside).or_else(|e| failed(format!("{}: {e}", file.display())))?;
    }
    Ok(())
}

/// What the machine starts with: busybox, the modules, the server.
fn initramfs(folder: &Folder, setup: &Setup, server: Server, modules: &Path) -> Result<PathBuf, Error> {
    let (root, archive) = (folder.0.join("root"), folder.0.join("initramfs"));
    let io = |e: io::Error| Error::Failed(format!("{}: {e}", root.display()));
    for name in ["dev", "proc", "sys", "tmp", "bin", "modules"] {
        fs::create_dir_all(root.join(name)).map_err(io)?;
    }
    copy(&on_path("busybox").unwrap_or_default(), &root.join("bin/busybox")).map_err(io)?;
    for name in MODULES {
        let Some(file) = find(modules, name) else { continue };
        let to = root.join("modules").join(format!("{name}.ko"));
        if file.extension().is_some_and(|e| e == "xz") {
            fs::write(&to, unpacked(&file)?).map_err(io)?;
        } else {
            copy(&file, &to).map_err(io)?;
        }
    }
    let mut words = Vec::new();
    let mut listens = "true".to_owned();
    if let Some((port, command)) = server.native() {
        with_libraries(&command[0], &root)?;
        let path = on_path(&command[0]).unwrap_or_default();
        words = command.iter().map(|word| format!("'{word}'")).collect();
        words[0] = path.display().to_string();
        listens = format!("netstat -tln | grep -q :{port}");
    }
    // NPtcp looks up the number of TCP.
    fs::create_dir_all(root.join("etc"))
        .and_then(|()| fs::write(root.join("etc/protocols"), "tcp 6 TCP\n"))
        .map_err(io)?;
    let order = MODULES.join(" ");
    let init = format!(
        "#!/bin/busybox sh\n/bin/busybox --install -s /bin\nexport PATH=/bin\nmount -t proc proc /proc\nmount -t sysfs sys /sys\n\
         mount -t devtmpfs dev /dev\nmount -t tmpfs tmp /tmp\nfor m in {order}; do insmod /modules/$m.ko 2>/dev/null; done\n\
         ip link set lo up\nip addr add {SERVER}/24 dev eth0\nip link set eth0 mtu {} up\ncd /tmp\n{}\n\
         until {listens}; do sleep 0.05; done\necho ready >/dev/ttyS1\nwhile true; do sleep 1000; done\n",
        setup.mtu,
        if words.is_empty() {
            String::new()
        } else {
            format!("{} >/dev/null 2>&1 </dev/null &", words.join(" "))
        },
    );
    fs::write(root.join("init"), init).map_err(io)?;
    let pack = format!("chmod +x init && find . | cpio --quiet -o -H newc >{}", archive.display());
    run(Command::new("sh").args(["-c", &pack]).current_dir(&root))?;
    Ok(archive)
}

/// A module that its package has compressed.
fn unpacked(file: &Path) -> Result<Vec<u8>, Error> {
    let output = Command::new("xz").arg("-dc").arg(file).stdin(Stdio::null()).output();
    output.map(|o| o.stdout).or_else(|e| failed(format!("xz -dc {}: {e}", file.display())))
}

/// Starts the machine; its server listens when this returns.
pub fn start(client: &Namespace, folder: &Folder, setup: &Setup, server: Server) -> Result<Running, Error> {
    let Some((kernel, modules)) = kernel() else { return failed("no kernel") };
    let archive = initramfs(folder, setup, server, &modules)?;
    client.ip("tuntap add mode tap vnet_hdr name t0")?;
    client.address("t0", &format!("{}/24", CLIENT), setup.mtu)?;
    let offload = if setup.offload { "on" } else { "off" };
    let vhost = if Path::new("/dev/vhost-net").exists() { ",vhost=on" } else { "" };
    let (said, accel) = (folder.0.join("said"), if is_emulated() { "tcg" } else { "kvm" });
    let mut command = client.command(&["qemu-system-x86_64", "-M", "q35", "-nodefaults", "-no-reboot"]);
    command.args([
        "-accel",
        accel,
        "-cpu",
        if is_emulated() { "max" } else { "host" },
        "-smp",
        "1",
        "-m",
        "512",
    ]);
    command.args(["-name", "stock,debug-threads=on", "-display", "none", "-monitor", "none"]);
    command.arg("-kernel").arg(kernel).arg("-initrd").arg(archive).args(["-append", "quiet panic=-1"]);
    command.args(["-netdev", &format!("tap,id=n,ifname=t0,script=no,downscript=no{vhost}")]);
    command.args([
        "-device",
        &format!("virtio-net-pci,netdev=n,csum={offload},gso={offload},host_mtu={}", setup.mtu),
    ]);
    command.args(["-serial", "null", "-serial", &format!("file:{}", said.display())]);
    let machine = Running::quiet(&mut command)?;
    until("the stock machine's server listens", if is_emulated() { 60 } else { 10 }, || {
        fs::read_to_string(&said).is_ok_and(|text| text.contains("ready"))
    })?;
    CpuPlacement::here().pin(machine.pid(), |thread| thread.starts_with("CPU "))?;
    Ok(machine)
}

//! Linux guests on a node: bundles as images, and the refusal on a host that does not run ring 0 of guests by hardware. That
//! they run is tested in an emulated host (`tests/tests/emulated/linux.rs`).

use e2e::bundle::{bundle, has_hardware};
use e2e::node::Node;
use e2e::{Outcome, eventually, program, run, unique};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder of a test's own, removed with this.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(unique("bundle"));
        fs::create_dir(&path).expect("new");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn import(node: &Node, file: &Path, name: &str) -> Outcome {
    let mut command = Command::new(program("microvisor"));
    command.args(["image", "import"]).arg(file).args(["--name", name]);
    run(command.env("MICROVISOR_NODE", node.folder.join("run/api.sock")))
}

/// Names in a folder of a node's.
fn names(node: &Node, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(node.folder.join(folder)).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn imported(node: &Node, name: &str) -> Value {
    node.get(&format!("/v1/images/{name}")).is(200)
}

#[test]
fn bundle_becomes_an_image_and_its_instances_are_refused_before_anything_is_made() {
    let (mut node, folder) = (Node::new(), Folder::new());
    let of = folder.0.join("debian.image");
    bundle(&of);
    import(&node, &of, "debian").ends(0, "");
    let image = imported(&node, "debian");
    let facts = ["kind", "vcpus", "memory_mib", "disk_bytes", "config_format"].map(|key| image[key].clone());
    assert_eq!(facts, [json!("linux"), json!(2), json!(64), json!(2 << 20), json!("")]);
    let id = image["id"].as_str().expect("an id").to_owned();
    assert_eq!(names(&node, "state/images"), [id.clone(), format!("{id}.image")]);
    // The same files give the same image.
    import(&node, &of, "again").ends(0, "");
    assert_eq!(imported(&node, "again")["id"], id);
    // What was unpacked can be made again.
    node.kill();
    fs::remove_dir_all(node.folder.join("state/images").join(format!("{id}.image"))).expect("there");
    node.start();
    assert_eq!(imported(&node, "debian")["kind"], "linux");
    if !has_hardware() {
        node.post("/v1/networks", &json!({ "name": "blue", "subnet": "10.85.0.0/24" })).is(201);
        let spec = json!({ "name": "web", "image": "debian", "devices": [{ "network": "blue" }] });
        let problem = node.post("/v1/instances", &spec).is(507);
        assert_eq!(problem["type"], "urn:microvisor:no-hardware-virtualisation", "{problem}");
        let detail = problem["detail"].as_str().expect("words");
        assert!(detail.contains("Linux guests need hardware virtualisation, VT-x or SVM"), "{problem}");
        assert!(problem["hint"].as_str().is_some_and(|hint| hint.contains("use a host with VT-x or SVM")));
        assert_eq!(node.get("/v1/instances").is(200)["instances"], json!([]));
        assert_eq!([names(&node, "state/disks"), names(&node, "run/i")], [const { Vec::<String>::new() }; 2]);
    }
    for name in ["debian", "again"] {
        node.ask("DELETE", &format!("/v1/images/{name}"), None, &[]).is(204);
    }
    assert!(names(&node, "state/images").is_empty());
}

#[test]
fn archives_that_would_leave_their_folder_are_refused_and_leave_nothing() {
    let (node, folder) = (Node::new(), Folder::new());
    let of = folder.0.join("evil.image");
    bundle(&of);
    fs::remove_file(of.join("root.img")).expect("there");
    std::os::unix::fs::symlink("/etc/passwd", of.join("root.img")).expect("made");
    // By the command, and by whoever packs it by other means.
    import(&node, &of, "evil").ends(121, "a bundle has no links");
    let archive = folder.0.join("evil.tar");
    let tar = |arguments: &[&str]| {
        let mut command = Command::new("tar");
        let outcome = run(command.current_dir(&of).arg("-cf").arg(&archive).args(arguments));
        assert_eq!(outcome.status, 0, "{outcome:?}");
    };
    for (arguments, says) in [
        (&["image.toml", "vmlinuz", "initrd.img", "root.img"][..], "files at its top"),
        (&["--transform", "s|vmlinuz|../../vmlinuz|", "image.toml", "vmlinuz"], "files at its top"),
        (&["image.toml", "initrd.img"], "vmlinuz: No such file"),
        (&["vmlinuz"], "image.toml: No such file"),
    ] {
        tar(arguments);
        let outcome = import(&node, &archive, "evil");
        assert!(outcome.status != 0 && outcome.err.contains(says), "{arguments:?}: {outcome:?}");
        assert!(names(&node, "state/images").is_empty(), "{arguments:?}");
    }
    let images = node.get("/v1/images").is(200);
    assert!(images.as_array().into_iter().flatten().all(|image| image["kind"] == "ring-3"), "{images}");
    assert!(!node.folder.join("vmlinuz").exists() && !node.folder.join("state/vmlinuz").exists());
}

#[test]
fn daemon_that_dies_while_it_imports_a_bundle_leaves_nothing_or_all() {
    let folder = Folder::new();
    let of = folder.0.join("debian.image");
    bundle(&of);
    for (at, kept) in [("image::unpacked", 0), ("image::written", 0), ("image::kept", 2)] {
        let mut node = Node::with_failpoints(&[]);
        node.arm(at);
        assert_ne!(import(&node, &of, "debian").status, 0, "{at}");
        node.dies();
        node.start();
        eventually("what belongs to nobody is gone", || names(&node, "state/images").len() == kept);
        assert_eq!(node.get("/v1/images/debian").status, if kept == 0 { 404 } else { 200 }, "{at}");
    }
}

//! A node as a file says: `get`, `apply`, `edit`.

use e2e::node::Node;
use e2e::{Outcome, program, run, unique};
use serde_json::json;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// A node, and a folder of files for it.
struct Site {
    node: Node,
    folder: PathBuf,
}

impl Site {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(unique("de"));
        fs::create_dir(&folder).expect("new");
        Self { node: Node::new(), folder }
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.folder.join(name);
        fs::write(&path, text).expect("it is ours");
        path.display().to_string()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(program("microvisor"));
        command.args(words).env("MICROVISOR_NODE", self.node.folder.join("run/api.sock"));
        command
    }

    fn run(&self, words: &[&str]) -> Outcome {
        run(&mut self.command(words))
    }

    fn pid(&self) -> u64 {
        self.node.get("/v1/instances/fw").json["pid"].as_u64().expect("it runs")
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

const SITE: &str = "\
networks:
  - name: blue
    subnet: 10.0.0.0/24
flavors:
  - name: small
    memory_mib: 8
instances:
  - name: fw
    config_file: fw.click
    flavor: small
    labels: { app: fw }
    devices:
      - network: blue
";

const CLICK: &str = "FromDevice(eth0) -> passed :: Counter -> Discard;\n";

#[test]
fn node_becomes_what_a_file_says_and_says_so_itself() {
    let site = Site::new();
    site.write("fw.click", CLICK);
    let file = site.write("site.yaml", SITE);
    let apply = |more: &[&str]| site.run(&[&["apply", "-f", &file][..], more].concat());

    let shown = apply(&["--dry-run"]);
    for says in ["+++ network blue", "+subnet: 10.0.0.0/24", "+++ instance fw", "passed :: Counter"] {
        assert!(shown.status == 0 && shown.out.contains(says), "{says}: {shown:?}");
    }
    assert_eq!(site.node.get("/v1/networks").json.as_array().map(Vec::len), Some(0));
    apply(&[]).ends(0, "");
    let again = apply(&[]);
    assert_eq!((again.status, again.out.as_str()), (0, ""), "nothing differs any more");
    let first = site.pid();

    // Another configuration is swapped in.
    site.write("fw.click", &CLICK.replace("passed", "seen"));
    let swapped = apply(&[]);
    assert!(swapped.status == 0 && swapped.out.contains("seen :: Counter"), "{swapped:?}");
    assert_eq!(site.pid(), first);
    site.run(&["click", "fw", "read", "seen.count"]).ends(0, "");

    // Labels, policies and a network's limit change below it.
    let changed =
        SITE.replace("app: fw", "app: edge").replace("    flavor:", "    restart: always\n    flavor:");
    let changed = changed.replace("10.0.0.0/24\n", "10.0.0.0/24\n    flood_limit: 7\n");
    site.write("site.yaml", &changed);
    apply(&[]).ends(0, "");
    let instance = site.node.get("/v1/instances/fw").json;
    assert_eq!((&instance["labels"]["app"], &instance["restart"]), (&json!("edge"), &json!("always")));
    assert_eq!(site.node.get("/v1/networks/blue").json["flood_limit"], 7);
    let again = apply(&[]);
    assert_eq!((again.status, again.out.as_str(), site.pid()), (0, "", first));

    // What cannot be changed below a guest takes its end, which has to be asked for.
    site.write("site.yaml", &changed.replace("    restart: always\n", "    memory_mib: 12\n"));
    apply(&[]).ends(122, "differs in more than configuration, labels and restart policy");
    assert_eq!(site.pid(), first);
    apply(&["--replace"]).ends(0, "");
    assert_ne!(site.pid(), first);
    site.write("site.yaml", &changed.replace("10.0.0.0/24", "10.0.1.0/24"));
    apply(&[]).ends(122, "differs in more than its gateway and flood limit");
    site.write("site.yaml", &SITE.replace("flavors:", "flavours:"));
    apply(&[]).ends(122, "unknown field `flavours`");

    // What it says of itself makes the same of another node.
    for form in ["yaml", "json"] {
        let said = site.run(&["get", "-o", form]);
        assert!(
            said.status == 0 && said.out.contains("seen :: Counter") && said.out.contains("edge"),
            "{said:?}"
        );
        let file = site.write("said", &said.out);
        let same = site.run(&["apply", "-f", &file]);
        assert_eq!((same.status, same.out.as_str()), (0, ""), "{same:?}");
    }
    let one = site.run(&["get", "fw"]);
    assert!(one.status == 0 && !one.out.contains("subnet"), "{one:?}");
    site.run(&["get", "nothing"]).ends(124, "nothing");
}

#[test]
fn edited_configuration_is_swapped_in_and_a_wrong_one_is_kept_for_its_author() {
    let site = Site::new();
    site.write("fw.click", CLICK);
    let file = site.write("site.yaml", SITE);
    site.run(&["apply", "-f", &file]).ends(0, "");
    let first = site.pid();
    let edit = |script: &str| {
        let mut command = site.command(&["edit", "fw"]);
        run(command.env_remove("VISUAL").env("EDITOR", script).env("TMPDIR", &site.folder))
    };
    edit("true").ends(0, "");
    edit("sed -i s/passed/mine/").ends(0, "");
    assert_eq!(site.pid(), first);
    site.run(&["click", "fw", "read", "mine.count"]).ends(0, "");
    let wrong = edit("sed -i s/Discard/Nonsense/");
    wrong.ends(122, "Nonsense");
    let kept = wrong.err.split("is in ").nth(1).and_then(|rest| rest.lines().next()).expect("it says where");
    assert!(fs::read_to_string(kept).expect("it is there").contains("Nonsense"));
    edit("false").ends(124, "ended with");
}

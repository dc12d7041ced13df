//! A node over TCP with TLS: commands on another host, by a context or the environment, and a certificate that is replaced
//! while the node runs.

use e2e::node::{Node, spec};
use e2e::{Outcome, RunFolder, eventually, program, root, run, unique};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder with a certificate for this host that signs itself, and its key; gone after the test.
struct Certificate {
    folder: PathBuf,
}

impl Certificate {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(unique("ce"));
        fs::create_dir(&folder).expect("new");
        let new = Self { folder };
        let mut openssl = Command::new("openssl");
        openssl.args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "1",
        ]);
        openssl.args(["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]);
        openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        run(openssl.arg("-keyout").arg(new.key()).arg("-out").arg(new.file())).ends(0, "");
        new
    }

    fn file(&self) -> PathBuf {
        self.folder.join("cert.pem")
    }

    fn key(&self) -> PathBuf {
        self.folder.join("key.pem")
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn node(certificate: &Certificate) -> Node {
    let (file, key) = (certificate.file().display().to_string(), certificate.key().display().to_string());
    Node::with(&["--listen", "127.0.0.1:0", "--tls-certificate", &file, "--tls-key", &key])
}

/// Whether a client that trusts a certificate reaches a node.
fn trusts(certificate: &Path, port: &str) -> bool {
    let mut curl = Command::new("curl");
    curl.args(["-s", "-m", "10", "-o", "/dev/null", "--cacert"]).arg(certificate);
    run(curl.arg(format!("https://127.0.0.1:{port}/v1/openapi.json"))).status == 0
}

#[test]
fn certificate_is_read_again_on_a_signal_and_a_bad_one_is_not_taken() {
    let (old, new) = (Certificate::new(), Certificate::new());
    let used = Certificate::new();
    let put = |from: &Certificate| {
        fs::copy(from.file(), used.file()).expect("it is ours");
        fs::copy(from.key(), used.key()).expect("it is ours");
    };
    put(&old);
    let node = node(&used);
    let port = node.port();
    let pid = node.get("/v1/status").json["pid"].as_u64().expect("a process") as u32;
    assert!(trusts(&old.file(), &port) && !trusts(&new.file(), &port));

    put(&new);
    e2e::signal(pid, "HUP");
    eventually("the new one is in force", || trusts(&new.file(), &port));
    assert!(!trusts(&old.file(), &port));

    fs::write(used.file(), "no certificate").expect("it is ours");
    e2e::signal(pid, "HUP");
    eventually("it is said", || node.log().contains("the certificate stays as it was"));
    assert!(trusts(&new.file(), &port));
}

/// Somebody at another host, with a home of their own.
struct Operator {
    home: PathBuf,
    here: RunFolder,
}

impl Operator {
    fn new() -> Self {
        let home = std::env::temp_dir().join(unique("home"));
        fs::create_dir(&home).expect("new");
        Self { home, here: RunFolder::new() }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.here.microvisor(words);
        command.env_remove("XDG_CONFIG_HOME").env_remove("MICROVISOR_NODE").env("HOME", &self.home);
        command
    }

    fn run(&self, words: &[&str]) -> Outcome {
        run(&mut self.command(words))
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.home);
    }
}

#[test]
fn every_command_reaches_a_node_elsewhere_by_a_context() {
    use std::os::unix::fs::PermissionsExt;
    let certificate = Certificate::new();
    let node = node(&certificate);
    let url = format!("https://127.0.0.1:{}", node.port());
    let token = node.post("/v1/tokens", &json!({ "name": "t", "role": "admin" })).is(201);
    let token = token["token"].as_str().expect("a token");
    let operator = Operator::new();
    let file = operator.home.join("token");
    fs::write(&file, format!("{token}\n")).expect("it is ours");
    let (file, ca) = (file.display().to_string(), certificate.file().display().to_string());
    let local = ["run", "target/test-images/echoes-console", "--detach", "--name", "at-home"];
    operator.run(&local).ends(0, "");

    operator.run(&["context", "use", "lab"]).ends(122, "there is no context lab");
    operator
        .run(&["context", "add", "lab", &url, "--token-file", &file, "--ca", &file])
        .ends(122, "no certificate");
    operator.run(&["context", "add", "lab", &url, "--token-file", &file, "--ca", &ca, "--use"]).ends(0, "");
    let kept = operator.home.join(".config/microvisor/contexts.toml");
    assert_eq!(fs::metadata(kept).expect("it is there").permissions().mode() & 0o777, 0o600);
    let shown = operator.run(&["context", "ls"]).out;
    assert!(shown.contains("*  lab") && shown.contains(&url) && !shown.contains(token), "{shown}");

    operator.run(&["net", "create", "blue", "--subnet", "10.0.0.0/24"]).ends(0, "");
    operator.run(&["flavor", "create", "small", "--memory", "8", "--cpu-percent", "50"]).ends(0, "");
    let flavors = operator.run(&["flavor", "ls"]).out;
    assert!(flavors.contains("small  8           -      -         -           50"), "{flavors}");
    let click = root().join("examples/firewall.click").display().to_string();
    for (name, app) in [("fw", "app=fw"), ("other", "app=nat")] {
        let words = ["run", &click, "--network", "blue", "--name", name, "--flavor", "small", "--label", app];
        operator.run(&words).ends(0, "");
    }
    let chosen = operator.run(&["ps", "-l", "app=fw"]).out;
    assert!(chosen.contains("fw") && !chosen.contains("other"), "{chosen}");
    let all = operator.run(&["ls"]).out;
    assert!(all.contains("other") && !all.contains("at-home"), "{all}");

    for (words, says) in [
        (&["click", "fw", "read", "passed.count"][..], "0"),
        (&["click", "fw", "handlers", "passed"], "passed.reset"),
        (&["click", "fw", "profile", "--during", "0.1"], "PACKETS/BATCH"),
        (&["inspect", "fw"], "memory    8192 KiB"),
        (&["timeline", "fw"], "ready"),
        (&["status"], "2 ready"),
        (&["top", "-n", "1", "-l", "app=fw"], "fw"),
    ] {
        let outcome = operator.run(words);
        assert!(outcome.status == 0 && outcome.out.contains(says), "{words:?}: {outcome:?}");
    }
    operator.run(&["click", "fw", "write", "passed.reset"]).ends(0, "");
    operator.run(&["click", "fw", "swap", &click]).ends(0, "");
    // A slip of the hand: the nearest name.
    operator.run(&["click", "otehr", "read", "x"]).ends(124, "did you mean other?");

    // What is asked for one command wins.
    let mut at_home = operator.command(&["ps"]);
    let at_home = run(at_home.env("MICROVISOR_CONTEXT", "local")).out;
    assert!(at_home.contains("at-home") && !at_home.contains("other"), "{at_home}");
    let mut stranger = operator.command(&["net", "ls"]);
    stranger.env("MICROVISOR_NODE", &url).env("MICROVISOR_TOKEN", "mv-0").env("MICROVISOR_CA", &ca);
    assert_ne!(run(&mut stranger).status, 0, "its token is none");

    operator.run(&["rm", "-f", "-l", "app=fw"]).ends(0, "");
    operator.run(&["kill", "other"]).ends(0, "");
    assert_eq!(node.get("/v1/instances/other").json["state"], "stopped");
    operator.run(&["context", "rm", "lab"]).ends(0, "");
    operator.run(&["kill", "at-home"]).ends(0, "");
}

#[test]
fn logs_follow_an_instance_with_times() {
    let node = Node::new();
    node.post("/v1/networks", &json!({ "name": "blue" })).is(201);
    let config = "Idle -> Discard; Script(TYPE ACTIVE, wait 0.3s, print \"a word\", loop)";
    node.post("/v1/instances", &spec("firewall.click", &json!({ "name": "talks", "config": config })))
        .is(201);
    let mut logs = Command::new(program("microvisor"));
    logs.args(["logs", "-f", "-t", "talks"]).env("MICROVISOR_NODE", node.folder.join("run/api.sock"));
    let following = e2e::start(&mut logs);
    std::thread::sleep(std::time::Duration::from_millis(1200));
    node.post("/v1/instances/talks/stop", &json!(null)).is(200);
    let outcome = e2e::finish(following);
    let stamped = outcome.out.lines().filter(|line| line.contains("Z ") && line.ends_with("a word")).count();
    assert!(outcome.status == 0 && stamped >= 2, "{outcome:?}");
}

#[test]
fn backup_of_a_node_that_runs_becomes_another_node() {
    let certificate = Certificate::new();
    let node = node(&certificate);
    let url = format!("https://127.0.0.1:{}", node.port());
    let token = |role: &str| {
        let made = node.post("/v1/tokens", &json!({ "name": role, "role": role })).is(201);
        made["token"].as_str().expect("a token").to_owned()
    };
    let (reader, admin) = (token("read"), token("admin"));
    node.post("/v1/networks", &json!({ "name": "blue", "subnet": "10.0.0.0/24" })).is(201);
    let local = |words: &[&str]| {
        run(Command::new(program("microvisor"))
            .args(words)
            .env("MICROVISOR_NODE", node.folder.join("run/api.sock")))
    };
    let image = root().join("target/test-images/sleeps").display().to_string();
    local(&["image", "import", &image, "--name", "mine"]).ends(0, "");
    node.post("/v1/instances", &spec("firewall.click", &json!({ "name": "fw", "restart": "always" })))
        .is(201);

    let file = certificate.folder.join("node.backup");
    let backup = |token: &str| {
        let mut command = Command::new(program("microvisor"));
        command
            .args(["node", "backup"])
            .arg(&file)
            .env("MICROVISOR_NODE", &url)
            .env("MICROVISOR_TOKEN", token);
        run(command.env("MICROVISOR_CA", certificate.file()))
    };
    assert_ne!(backup(&reader).status, 0, "who only reads does not get what tokens are known by");
    assert!(!file.exists());
    backup(&admin).ends(0, "");
    let left = fs::read_dir(node.folder.join("state")).expect("it is there").flatten();
    assert!(!left.into_iter().any(|e| e.file_name().to_string_lossy().starts_with("backup-")));

    let mut other = Node::idle(program("microvisor-node"), &[]);
    let state = other.folder.join("state");
    fs::create_dir(&state).expect("new");
    let restore = || {
        let mut command = Command::new(program("microvisor"));
        run(command.args(["node", "restore"]).arg(&file).arg("--state").arg(&state))
    };
    restore().ends(0, "");
    restore().ends(124, "is there already");
    other.start();
    assert_eq!(
        other
            .get("/v1/images")
            .json
            .as_array()
            .map_or(0, |all| all.iter().filter(|i| i["name"] == "mine").count()),
        1
    );
    assert_eq!(other.get("/v1/tokens").json.as_array().map(Vec::len), Some(2));
    assert_eq!(other.get("/v1/networks/blue").json["subnet"], "10.0.0.0/24");
    assert_eq!(other.get("/v1/instances/fw").json["restart"], "always");
}

#[test]
fn token_expires_by_itself_and_its_use_is_known() {
    let node = Node::with(&["--listen", "127.0.0.1:0"]);
    let port = node.port();
    let local = |words: &[&str]| {
        run(Command::new(program("microvisor"))
            .args(words)
            .env("MICROVISOR_NODE", node.folder.join("run/api.sock")))
    };
    let create = |name: &str, time: &str| {
        let made = local(&["token", "create", name, "--expires", time]);
        made.ends(0, "");
        made.out.trim().to_owned()
    };
    let (short, long) = (create("short", "2s"), create("long", "30d"));
    let asks = |token: &str| {
        let mut curl = Command::new("curl");
        curl.args(["-s", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}", "-H"]);
        curl.arg(format!("Authorization: Bearer {token}"));
        run(curl.arg(format!("http://127.0.0.1:{port}/v1/networks"))).out
    };
    assert_eq!((asks(&short), asks(&long)), ("200".into(), "200".into()));
    eventually("it has expired", || asks(&short) == "401");
    assert_eq!(asks(&long), "200");
    let listed = local(&["token", "ls"]).out;
    let line = |name: &str| listed.lines().find(|l| l.starts_with(name)).unwrap_or_default().to_owned();
    assert!(line("short").contains("expired") && line("long").contains("in 29 d"), "{listed}");
    assert!(line("long").contains(" s ago"), "{listed}");
    let log = node.log();
    assert!(log.contains("token=\"long\""), "{log}");
    local(&["token", "create", "never", "--expires", "soon"]).ends(122, "expires");
}

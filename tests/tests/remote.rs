//! A node over TCP with TLS: its certificate is replaced while it runs.

use e2e::node::Node;
use e2e::{eventually, run, unique};
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

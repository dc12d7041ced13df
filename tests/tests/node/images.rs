//! Images of a node: fetched by an address, imported, checked, removed.

use crate::site::Site;
use e2e::node::Node;
use e2e::{eventually, root, run};
use serde_json::{Value, json};
use std::process::Command;

#[test]
fn an_image_is_fetched_by_its_address() {
    use std::io::{Read, Write};
    let node = Node::new();
    let image = std::fs::read(root().join("target/test-images/hello")).expect("built");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/hello", listener.local_addr().expect("bound"));
    let body = image.clone();
    let server = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().expect("somebody asks");
            let _ = stream.read(&mut [0; 4096]);
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    let import = |more: &str| node.post(&format!("/v1/images?name=mine&url={url}{more}"), &Value::Null);
    assert_eq!(import("&id=00").status, 422, "another digest");
    let made = import("").is(201);
    assert_eq!(made["size"], image.len());
    server.join().expect("it served twice");
    assert_eq!(node.post("/v1/images?name=x&url=file:///etc/passwd", &Value::Null).status, 422);
    assert_eq!(node.post("/v1/images?name=x&url=http://127.0.0.1:1/x", &Value::Null).status, 502);
}

#[test]
fn an_image_is_imported_checked_and_removed() {
    let site = Site::new();
    let import = |path: &str, name: &str| {
        let mut command = Command::new("curl");
        command.args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket"]);
        command.arg(site.node.folder.join("run/api.sock")).args(["--data-binary", &format!("@{path}")]);
        run(command.arg(format!("http://node/v1/images?name={name}"))).out
    };
    let hello = root().join("target/images/hello").display().to_string();
    assert_eq!(import(&hello, "mine"), "201");
    assert_eq!(import(&hello, "mine"), "409");
    assert_eq!(import("/etc/passwd", "other"), "422");
    let spec = json!({ "name": "h", "image": "mine" });
    let made = site.node.post("/v1/instances?wait=none", &spec).is(201);
    assert_eq!(made["image"], "mine");
    eventually("it has ended", || site.instance("h")["state"] == "stopped");
    assert!(
        site.node.get("/v1/instances/h/console").text.contains("Hello"),
        "{}",
        site.node.get("/v1/instances/h/console").text
    );
    site.node.ask("DELETE", "/v1/images/mine", None, &[]).is(204);
    site.node.ask("DELETE", "/v1/images/clickos", None, &[]).is(409);
    site.node.post("/v1/instances/h/start", &Value::Null).is(404);
}

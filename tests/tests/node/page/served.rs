//! What the browser is given.

use e2e::node::Node;
use e2e::run;
use std::process::Command;

/// Most bytes that a browser loads for all of the page.
const PAGE: usize = 150_000;

#[test]
fn the_page_is_confined_and_kept_by_its_tag() {
    let node = Node::new();
    let head = |path: &str, more: &str| {
        let mut curl = Command::new("curl");
        curl.args(["-s", "-m", "10", "-o", "/dev/null", "-D", "-", "-H", more, "--unix-socket"]);
        run(curl.arg(node.folder.join("run/api.sock")).arg(format!("http://node{path}"))).out.to_lowercase()
    };
    for (path, kind) in
        [("/", "text/html"), ("/page/app.js", "text/javascript"), ("/page/style.css", "text/css")]
    {
        let first = head(path, "accept: */*");
        assert!(first.contains(" 200 ") && first.contains(&format!("content-type: {kind}")), "{first}");
        assert!(first.contains("content-security-policy: default-src 'self'"), "{first}");
        assert!(first.contains("x-content-type-options: nosniff"), "{first}");
        let tag = first.lines().find_map(|l| l.strip_prefix("etag: ")).expect("it has a tag").trim();
        assert!(head(path, &format!("if-none-match: {tag}")).contains(" 304 "));
    }
    assert!(head("/page/main.rs", "accept: */*").contains(" 404 "));
}

#[test]
fn all_of_the_page_is_small_and_the_same_compressed() {
    let node = Node::new();
    let load = |path: &str, options: &[&str]| {
        let mut curl = Command::new("curl");
        curl.args(["-s", "-m", "10", "-w", "\n%{size_download}"]).args(options).arg("--unix-socket");
        let out = run(curl.arg(node.folder.join("run/api.sock")).arg(format!("http://node{path}"))).out;
        let (text, size) = out.rsplit_once('\n').expect("a size");
        (text.to_owned(), size.parse::<usize>().expect("a number"))
    };
    let mut total = 0;
    for file in std::fs::read_dir(e2e::root().join("node/page")).expect("a folder") {
        let file = file.expect("a file");
        let path = format!("/page/{}", file.file_name().to_string_lossy());
        let (text, _) = load(&path, &[]);
        let (unpacked, size) = load(&path, &["--compressed", "-H", "accept-encoding: gzip"]);
        assert_eq!(text, std::fs::read_to_string(file.path()).expect("text"), "{path} is served");
        assert_eq!(text, unpacked, "{path}");
        total += size;
    }
    println!("{total} bytes compressed");
    assert!(total < PAGE, "{total}");
}

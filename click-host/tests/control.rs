//! The control protocol, as an option and as an element, and another configuration while it runs.

mod common;

use common::{Control, Running, click, free_port};

#[test]
fn a_running_router_is_read_written_replaced_and_stopped() {
    let port = free_port();
    let configuration = "s :: InfiniteSource(LIMIT 7) -> c :: Counter -> d :: Discard";
    let running = Running::start(click(&["-R", "-p", &port.to_string(), "-e", configuration]));
    let mut control = Control::connect(port);
    common::until(|| control.read("c.count") == "7");
    assert_eq!(control.read("2.class"), "Counter");
    assert_eq!(control.ask("READ e.count\r\n"), "510 No element named 'e'");
    assert_eq!(control.ask("READ c.nothing\r\n"), "511 No handler named 'c.nothing'");
    let bad = "Idle -> Nothing";
    let answer = control.ask(&format!("WRITEDATA hotconfig {}\r\n{bad}", bad.len()));
    assert!(answer.starts_with("520 "), "{answer}");
    let next = "s :: InfiniteSource(LIMIT 0) -> c :: Counter -> n :: Null -> d :: Discard";
    let answer = control.ask(&format!("WRITEDATA hotconfig {}\r\n{next}", next.len()));
    assert_eq!(answer, "200 Write handler 'hotconfig' OK");
    assert_eq!(control.read("c.count"), "7");
    assert_eq!(control.read("n.class"), "Null");
    assert_eq!(control.ask("WRITE stop\r\n"), "200 Write handler 'stop' OK");
    assert_eq!(running.end(), (0, "".into(), "".into()));
}

#[test]
fn without_the_option_the_configuration_stays() {
    let port = free_port();
    let _running = Running::start(click(&["-p", &port.to_string(), "-e", "Idle -> Discard"]));
    let mut control = Control::connect(port);
    assert_eq!(control.ask("CHECKWRITE hotconfig\r\n"), "511 No handler named 'hotconfig'");
}

#[test]
fn an_element_keeps_its_connections_when_the_configuration_changes() {
    let port = free_port();
    let text = |extra: &str| {
        format!("cs :: ControlSocket(TCP, {port}, READONLY false, LOCALHOST true); Idle -> Discard; {extra}")
    };
    let _running = Running::start(click(&["-R", "-e", &text("")]));
    let mut control = Control::connect(port);
    let next = text("more :: Idle");
    let answer = control.ask(&format!("WRITEDATA config {}\r\n{next}", next.len()));
    assert_eq!(answer, "200 Write handler 'config' OK");
    assert_eq!(control.read("more.class"), "Idle");
}

#[test]
fn a_proxy_and_a_unix_socket_serve_as_well() {
    let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
    let socket = folder.path().join("control");
    let text = format!(
        "p :: HandlerProxy; c :: Counter; Idle -> c -> Discard; ControlSocket(TCP, {port}, PROXY p, READONLY true)"
    );
    let running = Running::start(click(&["-u", socket.to_str().unwrap(), "-e", &text]));
    let mut control = Control::connect(port);
    assert_eq!(control.read("c.count"), "0");
    assert!(control.ask("WRITE c.reset_counts\r\n").starts_with("530 "));
    let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    std::io::Write::write_all(&mut stream, b"WRITE stop\n").unwrap();
    assert_eq!(running.end().0, 0);
    assert!(!socket.exists());
}

#[test]
fn commands_behind_another_configuration_are_for_that() {
    let port = free_port();
    let first = "Idle -> s :: Switch(0) -> Idle; s [1] -> Idle";
    let running = Running::start(click(&["-R", "-p", &port.to_string(), "-e", first]));
    let mut control = Control::connect(port);
    let next = "WRITE hotconfig Idle -> s :: Switch(1) -> Idle; s [1] -> Idle\r\n";
    assert_eq!(
        control.ask(&format!("{next}READ s.switch\r\nWRITE stop\r\n")),
        "200 Write handler 'hotconfig' OK"
    );
    assert_eq!(running.end(), (0, "".into(), "".into()));
}

#[test]
fn a_port_that_is_taken_can_be_passed_over() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let (status, _, err) = common::run(&["-p", &port.to_string(), "-e", "Script(stop)"]);
    assert_eq!(status, 1);
    assert!(err.starts_with(&format!("TCP port {port}:")), "{err}");
    assert_eq!(common::run(&["-p", &format!("{port}+"), "-e", "Script(stop)"]), (0, "".into(), "".into()));
}

//! What goes wrong around a monitor costs no more than it has to: devices that die, peers and starters that misbehave,
//! guests that flood.

use e2e::net::Namespace;
use e2e::{eventually, finish, image, is_alive, program, root, run, signal, start, unique};
use machine::control::{Client, Instance, Request, Response};
use machine::status;
use std::fs::{self, File};
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Answer of a control socket within so long.
const SOON: Duration = Duration::from_secs(5);

/// A monitor with a firewall on a TAP of a namespace, 10.1.0.1; the namespace has 10.1.0.2.
struct Monitor {
    namespace: Namespace,
    tap: String,
    folder: PathBuf,
    child: Child,
}

impl Monitor {
    fn start(net: &str) -> Self {
        Self::with(|tap| format!("tap={tap}{net}"), &[])
    }

    fn with(net: impl Fn(&str) -> String, wrapper: &[&str]) -> Self {
        let config = root().join("examples/firewall.click").display().to_string();
        Self::of("clickos", &["--config", &config], net, wrapper)
    }

    /// With a guest of the tests, which gets these options.
    fn of(guest: &str, options: &[&str], net: impl Fn(&str) -> String, wrapper: &[&str]) -> Self {
        let (namespace, tap) = (Namespace::new(), unique("t"));
        let folder = std::env::temp_dir().join(unique("faults"));
        fs::create_dir(&folder).expect("new");
        namespace.ip(&["tuntap", "add", "mode", "tap", "vnet_hdr", "name", &tap]);
        namespace.ip(&["addr", "add", "10.1.0.2/24", "dev", &tap]);
        namespace.ip(&["link", "set", &tap, "up"]);
        let vmm = program("microvisor-vmm");
        let mut command = namespace.command(&[wrapper, &[vmm.to_str().expect("UTF-8")]].concat());
        command.arg("--image").arg(image(guest)).args(options);
        command.args(["--net", &format!("{},ipv4=10.1.0.1/24", net(&tap)), "--console", "off"]);
        command.arg("--control").arg(folder.join("control"));
        command.arg("--report").arg(folder.join("report"));
        let child = start(command.stdin(Stdio::null()));
        let monitor = Self { namespace, tap, folder, child };
        eventually("the guest is ready", || monitor.report().contains("\"ready\""));
        monitor
    }

    fn report(&self) -> String {
        fs::read_to_string(self.folder.join("report")).unwrap_or_default()
    }

    fn ask(&self, request: &Request) -> Response {
        let mut client = Client::connect(&self.folder.join("control")).expect("it listens");
        client.call(request, SOON).expect("it answers")
    }

    fn inspect(&self) -> Instance {
        match self.ask(&Request::Inspect) {
            Response::Instance(instance) => instance,
            other => panic!("{other:?}"),
        }
    }

    fn pause(&self) {
        assert!(matches!(self.ask(&Request::Pause), Response::Done { .. }));
    }

    fn resume(&self) {
        assert!(matches!(self.ask(&Request::Resume), Response::Done { .. }));
    }

    /// Processor time of the monitor so far, ticks of 10 ms.
    fn ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it runs");
        let fields: Vec<&str> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
        fields[11].parse::<u64>().expect("a number") + fields[12].parse::<u64>().expect("a number")
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn tap_that_is_deleted_is_said_once_and_costs_nothing() {
    let monitor = Monitor::start("");
    assert!(monitor.namespace.pings("10.1.0.1", 3));
    monitor.namespace.ip(&["link", "del", &monitor.tap]);
    eventually("it is reported", || monitor.report().contains("device-lost"));
    let before = monitor.ticks();
    std::thread::sleep(Duration::from_secs(2));
    assert!(monitor.ticks() - before < 20, "{} ticks in 2 s", monitor.ticks() - before);
    assert!(monitor.inspect().net[0].lost);
    assert_eq!(monitor.report().matches("device-lost").count(), 1, "{}", monitor.report());
    assert!(is_alive(monitor.child.id()));
}

#[test]
fn receive_side_survives_overload_until_idle() {
    // Few buffers, so that the guest runs out of them at once.
    let monitor = Monitor::start(",queue=8");
    let (noise, pings) = (monitor.namespace.udp("10.1.0.2:0"), monitor.namespace.inside(ping_socket));
    pings.set_read_timeout(Some(Duration::from_millis(20))).expect("set");
    for round in 0..10_000u16 {
        for _ in 0..16 {
            let _ = noise.send_to(&[0; 1000], "10.1.0.1:9");
        }
        // What meets a full queue is lost, as on any link.
        let answered = (0..250).any(|_| {
            let [high, low] = round.to_be_bytes();
            let sent = pings.send_to(&[8, 0, 0, 0, 0, 0, high, low], "10.1.0.1:0");
            let mut answer = [0; 64];
            sent.is_ok()
                && pings
                    .recv(&mut answer)
                    .is_ok_and(|n| n == 8 && answer[..1] == [0] && answer[6..8] == [high, low])
        });
        assert!(answered, "it no longer hears after {round} rounds");
    }
}

/// A socket for ICMP echo (icmp(7)); the kernel fills in the checksum.
fn ping_socket() -> UdpSocket {
    fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0").expect("root may");
    // SAFETY: a plain system call, whose descriptor nobody else owns.
    let fd = unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, libc::IPPROTO_ICMP);
        assert!(fd >= 0, "a ping socket: {}", std::io::Error::last_os_error());
        OwnedFd::from_raw_fd(fd)
    };
    fd.into()
}

#[test]
fn pause_and_resume_under_a_flood_of_pings_lose_no_wake_up() {
    let monitor = Monitor::start("");
    let mut flood = monitor.namespace.command(&["ping", "-f", "-q", "-w", "10", "10.1.0.1"]);
    let mut flood = start(flood.stdin(Stdio::null()));
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        monitor.pause();
        monitor.resume();
    }
    // What a lost wake-up leaves behind is a guest that sleeps for good, whatever comes.
    let _ = flood.kill();
    let _ = flood.wait();
    assert!(monitor.namespace.pings("10.1.0.1", 3));
}

#[test]
fn pause_and_resume_under_tcp_lose_no_connection() {
    let monitor = Monitor::of("iperf", &[], |tap| format!("tap={tap}"), &[]);
    let transfer = |direction: &[&str]| {
        let words = [&["iperf3", "-c", "10.1.0.1", "-t", "2"], direction].concat();
        let transfer = start(monitor.namespace.command(&words).stdin(Stdio::null()));
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(1500) {
            monitor.pause();
            std::thread::sleep(Duration::from_millis(2));
            monitor.resume();
            std::thread::sleep(Duration::from_millis(2));
        }
        e2e::finish_within(transfer, Duration::from_secs(20)).ends(0, "");
    };
    transfer(&[]);
    transfer(&["-R"]);
}

#[test]
fn blocking_tap_that_was_handed_over_does_not_block_the_monitor() {
    // `ip tuntap` of the harness makes the TAP; python opens it as a starter would that forgot O_NONBLOCK.
    let open = "import fcntl,os,struct,sys\n\
        fd=os.open('/dev/net/tun',os.O_RDWR)\n\
        os.dup2(fd,9)\n\
        fcntl.ioctl(9,0x400454ca,struct.pack('16sH22s',sys.argv[1].encode(),0x5002,b''))\n\
        os.set_inheritable(9,True)\n\
        os.execv(sys.argv[2],sys.argv[2:])";
    // The TAP's name is not known ahead of `with`: the wrapper finds the one device of the namespace.
    let wrapper =
        ["sh", "-c", "exec python3 -c \"$0\" \"$(ip -br link show type tun | cut -d' ' -f1)\" \"$@\"", open];
    let monitor = Monitor::with(|_| "fd=9".into(), &wrapper);
    monitor.inspect();
    assert!(monitor.namespace.pings("10.1.0.1", 3));
    monitor.inspect();
}

#[test]
fn blocked_signals_of_a_starter_do_not_keep_a_spinning_guest_alive() {
    let mut command = Command::new("env");
    command.arg("--block-signal=USR1").arg(program("microvisor-vmm")).arg("--image").arg(image("spins"));
    let child = start(command.stdin(Stdio::null()));
    std::thread::sleep(Duration::from_millis(300));
    let (pid, begun) = (child.id(), Instant::now());
    signal(pid, "TERM");
    signal(pid, "TERM");
    assert_eq!(finish(child).status, 128 + libc::SIGTERM);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[test]
fn socket_of_our_own_never_takes_the_place_of_a_file() {
    let path = std::env::temp_dir().join(unique("precious"));
    fs::write(&path, "precious").expect("written");
    let net = format!("vhost-user={},server=on,wait=0", path.display());
    let mut command = Command::new(program("microvisor-vmm"));
    command.arg("--image").arg(image("serves-tcp")).args(["--net", &net]);
    run(&mut command).ends(status::HOST, "not a socket");
    assert_eq!(fs::read_to_string(&path).expect("it is there"), "precious");
    fs::remove_file(&path).expect("removed");
}

#[test]
fn files_are_bounded_and_images_read_without_privileges() {
    let monitor = Monitor::start("");
    let limits = fs::read_to_string(format!("/proc/{}/limits", monitor.child.id())).expect("it runs");
    let line = limits.lines().find(|l| l.starts_with("Max file size")).expect("a limit");
    assert!(line.contains("67108864"), "{line}");

    // An image that is a FIFO: its first byte is not asked for before root is given up.
    let fifo = monitor.folder.join("image");
    assert_eq!(run(Command::new("mkfifo").arg(&fifo)).status, 0);
    // Read and write: opening it does not wait for the other end.
    let _other_end = File::options().read(true).write(true).open(&fifo).expect("a FIFO");
    let child = start(Command::new(program("microvisor-vmm")).arg("--image").arg(&fifo).stdin(Stdio::null()));
    let outcome = finish(child);
    assert_eq!(outcome.status, i32::from(status::IMAGE_REFUSED), "{outcome:?}");
}

/// A back end that takes the connection and says nothing, or does so byte by byte, as root's own process would be
/// waited for: the monitor waits without privileges, and not for long.
#[test]
fn silent_back_end_is_waited_for_without_privileges() {
    let folder = std::env::temp_dir().join(unique("silent"));
    fs::create_dir(&folder).expect("new");
    let path = folder.join("s");
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("bound");
    let mut command = Command::new(program("microvisor-vmm"));
    command
        .arg("--image")
        .arg(image("serves-tcp"))
        .args(["--net", &format!("vhost-user={}", path.display())]);
    let begun = Instant::now();
    let child = start(command.stdin(Stdio::null()));
    let pid = child.id();
    let (back_end, _) = listener.accept().expect("it connects");
    assert!(back_end.as_raw_fd() >= 0);
    eventually("it has no capability", || {
        let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        text.contains("CapEff:\t0000000000000000") && !text.contains("Uid:\t0\t")
    });
    finish(child).ends(status::HOST, "does not answer");
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    fs::remove_dir_all(&folder).expect("removed");
}

//! Prepared guests, by their monitor alone: what one finds when it is assigned is what one finds that has just been entered,
//! nothing of its preparation is left, and what it cannot be is refused whole.

use e2e::{eventually, image, program, root, unique};
use machine::report::Report;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use vmm::start::prepared::{CONFIG_MAXIMUM, Starter, WORDS_MAXIMUM};

const TIMEOUT: Duration = Duration::from_secs(10);

/// A folder that goes with this.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(unique("pr"));
        std::fs::create_dir(&path).expect("new");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A monitor with a guest that prepares itself.
struct Prepared {
    monitor: Child,
    starter: Option<Starter>,
    folder: Folder,
}

impl Drop for Prepared {
    fn drop(&mut self) {
        let _ = self.monitor.kill();
        let _ = self.monitor.wait();
    }
}

fn monitor(image: &Path) -> Command {
    let mut command = Command::new(program("microvisor-vmm"));
    command.arg("--image").arg(image).args(["--console", "off"]);
    command
}

impl Prepared {
    fn new(image: &Path, options: &[&str]) -> Self {
        let (ours, theirs) = UnixStream::pair().expect("sockets");
        ours.set_read_timeout(Some(TIMEOUT)).expect("a timeout can be set");
        let folder = Folder::new();
        let mut command = monitor(image);
        command.args(["--prepared", "0"]).args(options).arg("--report").arg(folder.0.join("report"));
        let monitor = command.stdin(OwnedFd::from(theirs)).stderr(Stdio::null()).spawn().expect("it starts");
        drop(command);
        Self { monitor, starter: Some(Starter::new(ours)), folder }
    }

    fn starter(&self) -> &Starter {
        self.starter.as_ref().expect("it is there")
    }

    fn assign(&self, arguments: &[&str], config: Option<&str>, sockets: &[OwnedFd]) -> std::io::Result<()> {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let path = self.folder.0.join("config");
        let config = config.map(|text| {
            File::create(&path).and_then(|mut file| file.write_all(text.as_bytes())).expect("written");
            File::open(&path).expect("it is there")
        });
        self.starter().assign(&arguments, config.as_ref(), sockets)?;
        self.starter().accepted(TIMEOUT)
    }

    #[track_caller]
    fn ends(&mut self) -> ExitStatus {
        eventually("the monitor has ended", || self.monitor.try_wait().is_ok_and(|status| status.is_some()));
        self.monitor.wait().expect("it has ended")
    }

    fn report(&self) -> Vec<Report> {
        reports(self.folder.0.join("report"))
    }
}

fn reports(path: PathBuf) -> Vec<Report> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))).collect()
}

/// Lines of the console at the end.
fn console(reports: &[Report]) -> Vec<String> {
    match reports.last() {
        Some(Report::End { console, .. }) => console.lines().map(str::to_owned).collect(),
        other => panic!("{other:?}"),
    }
}

fn socket(folder: &Folder, name: &str) -> OwnedFd {
    UnixListener::bind(folder.0.join(name)).expect("a free path").into()
}

#[test]
fn assigned_guest_finds_what_one_finds_that_has_just_been_entered() {
    let image = image("tells-boot");
    let words = ["--set", "case=null", "--set", "long=a b\nc", "--poll", "7"];
    let cold = Folder::new();
    let report = cold.0.join("report");
    let config = cold.0.join("config");
    std::fs::write(&config, "x".repeat(5000)).expect("written");
    let mut command = monitor(&image);
    command.args(words).args(["--memory", "4"]).arg("--config").arg(&config).arg("--report").arg(&report);
    assert!(command.status().expect("it starts").success());

    let mut prepared = Prepared::new(&image, &["--memory", "4"]);
    prepared.starter().await_guest().expect("it waits");
    std::thread::sleep(Duration::from_secs(2));
    prepared.assign(&words, Some(&"x".repeat(5000)), &[]).expect("it is accepted");
    assert!(prepared.ends().success());

    let (cold, warm) = (console(&reports(report)), console(&prepared.report()));
    // Where the heap begins depends on how much room is kept in front of it; the rest of these is never the same.
    let differs =
        |line: &&String| ["heap ", "random ", "unix-ns ", "up-ns "].iter().any(|n| line.starts_with(n));
    let same = |lines: &[String]| lines.iter().filter(|l| !differs(l)).cloned().collect::<Vec<_>>();
    assert_eq!(same(&warm), same(&cold));
    let value = |lines: &[String], name: &str| {
        let line = lines.iter().find_map(|line| line.strip_prefix(name)).map(|v| v.trim().to_owned());
        line.unwrap_or_else(|| panic!("{name} in {lines:?}"))
    };
    assert_ne!(value(&warm, "random"), value(&cold, "random"));
    assert!(!value(&warm, "random").starts_with("[0, 0, 0, 0, 0, 0, 0, 0"));
    let up: u64 = value(&warm, "up-ns").parse().expect("a number");
    assert!(up < 2_000_000_000, "it is up since it was assigned, not since it was prepared: {up}");
    let [cold, warm] = [&cold, &warm].map(|lines| value(lines, "unix-ns").parse::<u64>().expect("a number"));
    assert!(warm - cold > 2_000_000_000, "its clock is that of its assignment");
}

#[test]
fn addresses_of_devices_come_with_the_assignment() {
    let net = "vhost-user=/nowhere,server=on,queue=128";
    let mut prepared = Prepared::new(&image("tells-boot"), &["--net", net]);
    prepared.starter().await_guest().expect("it waits");
    let own = format!("{net},mac=02:00:00:00:00:09,mtu=1400,ipv4=10.1.2.3/20,ipv4-gateway=10.1.2.1");
    // Nobody has connected yet: the guest does not wait for that.
    let sockets = [socket(&prepared.folder, "net")];
    prepared.assign(&["--net", &own], None, &sockets).expect("it is accepted");
    assert!(prepared.ends().success());
    let console = console(&prepared.report());
    for line in [
        "net0 mac [2, 0, 0, 0, 0, 9] mtu 1400",
        "net0 ipv4 [10, 1, 2, 3]/20 gateway [10, 1, 2, 1]",
        "net0 queues 128 128",
    ] {
        assert!(console.iter().any(|l| l == line), "{line} in {console:#?}");
    }
}

#[test]
fn nothing_of_a_preparation_is_seen() {
    let begun = Instant::now();
    let mut prepared = Prepared::new(&image("spoils-preparation"), &[]);
    prepared.starter().await_guest().expect("it waits");
    std::thread::sleep(Duration::from_millis(50));
    prepared.assign(&[], None, &[]).expect("it is accepted");
    assert!(prepared.ends().success());
    let reports = prepared.report();
    let console = console(&reports);
    assert_eq!(console.last().map(String::as_str), Some("from the instance"));
    assert_eq!(console.len(), 2, "{console:?}");
    let Some(Report::Ready { timeline }) = reports.first() else { panic!("{reports:?}") };
    let names: Vec<&str> = timeline.spans.iter().map(|s| s.phase.name()).collect();
    assert_eq!(names, ["spawn", "boot", "ready"]);
    let inside: Vec<&str> = timeline.spans[0].inside.iter().map(|s| s.phase.name()).collect();
    assert_eq!(inside, ["assign"]);
    assert!(timeline.total_ns() < 40_000_000, "it begins with the assignment: {timeline:?}");
    assert!(timeline.spans.is_sorted_by_key(|s| s.start_ns), "{timeline:?}");
    let preparation = timeline.preparation.as_ref().expect("it was prepared");
    assert!(u128::from(preparation.total_ns()) < begun.elapsed().as_nanos(), "{preparation:?}");
    let prepare = preparation.spans.iter().flat_map(|s| &s.inside).find(|s| s.phase.name() == "prepare");
    assert!(prepare.is_some(), "{preparation:?}");
}

/// What it is, arguments, configuration, sockets, and a word of the refusal.
type Case<'a> = (&'a str, Vec<&'a str>, Option<&'a str>, usize, &'a str);

#[test]
fn what_a_prepared_guest_cannot_be_is_refused_whole() {
    let firewall = std::fs::read_to_string(root().join("examples/firewall.click")).expect("an example");
    let net = "vhost-user=/nowhere,server=on";
    let long = format!("A={}", "x".repeat(4000));
    let large = "//".repeat(CONFIG_MAXIMUM as usize);
    assert!(2 * long.len() as u64 > WORDS_MAXIMUM);
    let other_queue = format!("{net},queue=128");
    let plain = format!("{net},offload=off");
    let cases: [Case<'_>; 9] = [
        ("no configuration", vec!["--net", net], None, 1, "needs a configuration"),
        ("another amount of memory", vec!["--net", net, "--memory", "32"], Some(&firewall), 1, "memory"),
        ("no device", vec![], Some(&firewall), 0, "devices"),
        ("two devices", vec!["--net", net, "--net", net], Some(&firewall), 2, "devices"),
        ("no socket", vec!["--net", net], None, 0, "socket"),
        ("another queue", vec!["--net", &other_queue], Some(&firewall), 1, "devices"),
        ("no offloads", vec!["--net", &plain], Some(&firewall), 1, "devices"),
        ("many words", vec!["--net", net, "--set", &long, "--set", &long], Some(&firewall), 1, "room"),
        ("a large file", vec!["--net", net], Some(&large), 1, "room"),
    ];
    for (what, arguments, config, sockets, why) in cases {
        let mut prepared = Prepared::new(&image("clickos"), &["--net", net]);
        prepared.starter().await_guest().expect("it waits");
        let sockets: Vec<OwnedFd> =
            (0..sockets).map(|number| socket(&prepared.folder, &number.to_string())).collect();
        let refused = prepared.assign(&arguments, config, &sockets).expect_err(what).to_string();
        assert!(refused.contains(why), "{what}: {refused}");
        prepared.ends();
        assert!(prepared.report().is_empty(), "{what}: nothing ran");
    }
}

#[test]
fn preparation_ends_with_its_starter_or_by_a_signal() {
    let ends: [fn(&mut Prepared); 2] =
        [|prepared| prepared.starter = None, |prepared| e2e::signal(prepared.monitor.id(), "TERM")];
    for end in ends {
        let mut prepared = Prepared::new(&image("clickos"), &["--net", "vhost-user=/nowhere,server=on"]);
        prepared.starter().await_guest().expect("it waits");
        end(&mut prepared);
        prepared.ends();
        assert!(prepared.report().is_empty());
    }
}

#[test]
fn guest_that_is_ready_before_it_is_anybody_faults() {
    let mut prepared = Prepared::new(&image("readies-early"), &[]);
    assert!(prepared.starter().await_guest().is_err());
    assert_eq!(prepared.ends().code(), Some(120));
    assert!(prepared.report().is_empty());
}

#[test]
fn image_without_the_ability_is_refused() {
    let folder = Folder::new();
    let mut bytes = std::fs::read(image("hello")).expect("an image");
    let name = b"MicroVisor\0\0";
    let note = bytes.windows(name.len()).position(|w| w == name).expect("a note") + name.len();
    bytes[note + 104] = 0;
    let path = folder.0.join("hello");
    std::fs::write(&path, bytes).expect("written");
    let mut prepared = Prepared::new(&path, &[]);
    assert!(prepared.starter().await_guest().is_err());
    assert_eq!(prepared.ends().code(), Some(121));
}

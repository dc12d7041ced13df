//! Eight guests on one switch, each sending to each, while ports come and go and the switch is killed and started again.
//! Nothing is corrupted, nothing stays stuck, and memory stays flat. `SOAK_SECONDS` says for how long: 10 if it is not
//! set, 600 for a real soak.

use e2e::switch::Switch;
use e2e::{RunFolder, eventually, image, turns};
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use switch::config::Config;
use switch::control::Request;

const GUESTS: usize = 8;
/// How long a port is away.
const AWAY: Duration = Duration::from_millis(150);
/// How long guests have to hear from each other again: their questions for addresses wait a second in between, and an
/// unanswered datagram waits for one.
const BACK: Duration = Duration::from_secs(10);
/// What memory may differ by between two looks that find the same work, KiB.
const NOISE: u64 = 1024;

/// A guest, and what it says.
struct Guest {
    process: Child,
    said: PathBuf,
}

/// What a guest has heard.
#[derive(Debug, Default)]
struct Heard {
    from: Vec<u64>,
    wrong: u64,
}

impl Guest {
    fn start(folder: &RunFolder, switch: &Switch, number: usize) -> Self {
        let said = switch.folder.join(format!("said-{number}"));
        let net = switch.here(&format!("vhost-user=@/g{number}.sock,guest=10.9.5.{}/24", number + 1));
        let (number, peers) = (format!("number={number}"), format!("peers={GUESTS}"));
        let mut command = folder.microvisor(&["run"]);
        command.arg(image("meets-peers")).args(["--net", &net, "--set", &number, "--set", &peers]);
        command.stdin(Stdio::null()).stderr(Stdio::null()).stdout(File::create(&said).expect("new"));
        Self { process: command.spawn().expect("it starts"), said }
    }

    fn heard(&self) -> Heard {
        let text = fs::read_to_string(&self.said).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let Some(line) = whole.lines().rfind(|l| l.starts_with("heard")) else { return Heard::default() };
        let (from, wrong) = line["heard".len()..].split_once(", wrong ").expect("a whole line");
        let numbers = from.split_whitespace().map(|n| n.parse().expect("a number"));
        Heard { from: numbers.collect(), wrong: wrong.trim().parse().expect("a number") }
    }

    fn memory(&self) -> u64 {
        resident(self.process.id())
    }
}

/// Resident memory of a process without pages of files, KiB.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:"));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// All pairs hear each other.
#[track_caller]
fn all_hear(guests: &[Guest], when: &str) {
    let before: Vec<Heard> = guests.iter().map(Guest::heard).collect();
    let silent = || -> Vec<(usize, usize)> {
        let now = guests.iter().map(Guest::heard).enumerate();
        now.flat_map(|(to, heard)| {
            let before = before[to].from.clone();
            (0..GUESTS)
                .filter(move |&from| {
                    let count = |of: &[u64]| of.get(from).copied().unwrap_or(0);
                    from != to && count(&heard.from) <= count(&before)
                })
                .map(move |from| (from, to))
        })
        .collect()
    };
    let begun = Instant::now();
    while !silent().is_empty() {
        assert!(begun.elapsed() < BACK, "{when}: nothing gets through of (from, to) {:?}", silent());
        std::thread::sleep(Duration::from_millis(100));
    }
    for (number, guest) in guests.iter().enumerate() {
        let heard = guest.heard();
        assert_eq!(heard.wrong, 0, "{when}: guest {number} {heard:?}");
    }
}

#[test]
fn eight_guests_meet_while_ports_flap_and_the_switch_is_killed() {
    let _turn = turns::alone();
    let seconds = std::env::var("SOAK_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(10);
    let mut config = "[segments.s]\n".to_owned();
    for n in 0..GUESTS {
        let device = format!("{{ vhost-user = {{ path = \"@/g{n}.sock\" }} }}");
        config.push_str(&format!("[ports.g{n}]\ndevice = {device}\nsegment = \"s\"\n"));
    }
    let (folder, mut switch) = (RunFolder::new(), Switch::new(&config));
    let guests: Vec<Guest> = (0..GUESTS).map(|n| Guest::start(&folder, &switch, n)).collect();
    all_hear(&guests, "at first");
    let ports = Config::from_toml(&switch.here(&config)).expect("a configuration").ports;
    let (begun, whole) = (Instant::now(), Duration::from_secs(seconds));
    let mut memory = None;
    let mut flaps = 0;
    for part in 1..=3u32 {
        // A third of the time, and then the switch is killed, but for the last.
        while begun.elapsed() < whole * part / 3 {
            let name = format!("g{}", flaps % GUESTS);
            switch.ask(&Request::DeletePort { name: name.clone() });
            std::thread::sleep(AWAY);
            switch.ask(&Request::PutPort { name: name.clone(), port: Box::new(ports[&name].clone()) });
            switch.is_up_soon(&name);
            flaps += 1;
        }
        all_hear(&guests, &format!("after {flaps} flaps"));
        if part < 3 {
            switch.kill();
            switch.start(&config);
            eventually("all ports are up", || switch.status().ports.iter().all(|p| p.up));
            all_hear(&guests, "after the switch was killed");
            memory = Some((guests.iter().map(Guest::memory).sum::<u64>(), resident(switch.pid())));
        }
    }
    let before = memory.unwrap_or_default();
    let after = (guests.iter().map(Guest::memory).sum::<u64>(), resident(switch.pid()));
    assert!(
        after.0 <= before.0 + NOISE && after.1 <= before.1 + NOISE,
        "monitors and switch had {before:?} KiB, and have {after:?} KiB"
    );
    let total: u64 = guests.iter().flat_map(|g| g.heard().from).sum();
    println!(
        "{total} datagrams, {flaps} flaps, 2 kills in {seconds} s; the monitors had {} KiB and have {}, the switch {} and {}",
        before.0, after.0, before.1, after.1
    );
    for guest in guests {
        e2e::signal(guest.process.id(), "TERM");
        e2e::finish(guest.process).ends(143, "");
    }
    folder.is_empty_soon();
}

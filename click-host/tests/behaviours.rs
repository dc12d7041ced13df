//! What configurations print, compared with what the Click modular router prints for the same.
//!
//! A file of `behaviours/` is a subject. A line `### NAME: OPTIONS` begins a case, its configuration follows, and behind
//! `===` what is printed, standard output and error as they come, with `[exit N]` if the status is not 0. Configurations
//! that are parted by `>>>` run one after the other in one folder. What stands before the first case are files that all
//! cases of the subject find there: each begins with a line `<<< NAME`.

use std::fmt::Write;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Longest run of one configuration.
const LONGEST: Duration = Duration::from_secs(20);

struct Case {
    file: String,
    name: String,
    options: Vec<String>,
    configurations: Vec<String>,
    expected: String,
    /// Names and contents of files that are there before.
    files: Arc<Vec<(String, String)>>,
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/behaviours");
    let mut cases = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        let before = text.split("### ").next().unwrap_or_default();
        let files = before.split("<<< ").skip(1).map(|f| f.split_once('\n').unwrap());
        let files = Arc::new(files.map(|(name, text)| (name.to_string(), text.to_string())).collect());
        for block in text.split("### ").skip(1) {
            let (head, rest) = block.split_once('\n').unwrap();
            let (name, options) = head.split_once(':').unwrap();
            let (configuration, expected) =
                rest.split_once("===\n").unwrap_or_else(|| panic!("{file}: {name} has no ==="));
            cases.push(Case {
                file: file.clone(),
                name: name.to_string(),
                options: options.split_whitespace().map(String::from).collect(),
                configurations: configuration.split(">>>\n").map(String::from).collect(),
                expected: expected.trim_end().to_string(),
                files: Arc::clone(&files),
            });
        }
    }
    cases
}

/// Runs one configuration; what it printed is at the file's end.
fn run(case: &Case, configuration: &str, folder: &Path, output: &File) {
    let file = format!("{}.click", case.name);
    fs::write(folder.join(&file), configuration).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_click"))
        .args(&case.options)
        .arg(&file)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output.try_clone().unwrap())
        .spawn()
        .unwrap();
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.code().unwrap_or(-1);
        }
        if began.elapsed() > LONGEST {
            child.kill().unwrap();
            child.wait().unwrap();
            break -1;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    if status != 0 {
        use std::io::Write;
        writeln!(&mut output.try_clone().unwrap(), "[exit {status}]").unwrap();
    }
}

fn differs(case: &Case) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in case.files.iter() {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let path = folder.path().join("output");
    let output = File::create(&path).unwrap();
    case.configurations.iter().for_each(|c| run(case, c, folder.path(), &output));
    let printed = String::from_utf8_lossy(&fs::read(&path).unwrap()).trim_end().to_string();
    (printed != case.expected).then(|| {
        format!("{}: {}\n--- expected\n{}\n--- printed\n{printed}\n", case.file, case.name, case.expected)
    })
}

#[test]
fn configurations_behave_as_in_click() {
    let cases = cases();
    let next = AtomicUsize::new(0);
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let take = || cases.get(next.fetch_add(1, Ordering::Relaxed));
                    std::iter::from_fn(take).filter_map(differs).collect::<Vec<_>>()
                })
            })
            .collect();
        workers.into_iter().flat_map(|w| w.join().unwrap()).collect()
    });
    let mut report = String::new();
    wrong.iter().for_each(|w| writeln!(report, "{w}").unwrap());
    assert!(wrong.is_empty(), "{} of {} differ\n{report}", wrong.len(), cases.len());
}

/// Ports beyond any that a person would write.
#[test]
fn an_element_has_thousands_of_ports() {
    let mut text = "t :: Tee; Idle -> t;".to_string();
    (0..=4096).for_each(|n| write!(text, "t[{n}] -> Discard;").unwrap());
    let checked = Command::new(env!("CARGO_BIN_EXE_click")).args(["-q", "-e", &text]).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

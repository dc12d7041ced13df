//! An example in a guest, between hosts that are namespaces.

use e2e::net::Namespace;
use e2e::{Outcome, RunFolder, unique};

/// A running instance with a namespace at each of its devices.
pub struct Function {
    pub folder: RunFolder,
    pub sides: Vec<Namespace>,
    /// The namespaces' interfaces.
    pub taps: Vec<String>,
}

impl Function {
    /// Starts an example with more options of `run`; device *i* has 10.(i+1).0.1/24, its namespace .2.
    pub fn new(example: &str, sides: usize, options: &[&str]) -> Self {
        let folder = RunFolder::new();
        let sides: Vec<Namespace> = (0..sides).map(|_| Namespace::new()).collect();
        let mut arguments: Vec<String> =
            ["run", &format!("examples/{example}.click"), "--name", "nf", "--detach"]
                .map(str::to_owned)
                .into();
        let mut taps = Vec::new();
        for (n, side) in (1..).zip(&sides) {
            let tap = unique("t");
            arguments.push("--tap".into());
            arguments.push(format!("{tap},netns={},address=10.{n}.0.2/24,guest=10.{n}.0.1/24", side.name));
            taps.push(tap);
        }
        arguments.extend(options.iter().map(|o| (*o).to_owned()));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let outcome = folder.run(&arguments);
        assert_eq!(outcome.status, 0, "{outcome:?}");
        Self { folder, sides, taps }
    }

    /// The same with variables; each namespace has a route to everywhere by the function.
    pub fn routed(example: &str, sides: usize, variables: &[&str]) -> Self {
        let options: Vec<&str> = variables.iter().flat_map(|variable| ["--set", variable]).collect();
        let function = Self::new(example, sides, &options);
        for (n, side) in (1..).zip(&function.sides) {
            side.ip(&["route", "add", "default", "via", &format!("10.{n}.0.1")]);
        }
        function
    }

    pub fn click(&self, arguments: &[&str]) -> Outcome {
        self.folder.run(&[&["click", "nf"], arguments].concat())
    }

    #[track_caller]
    pub fn read(&self, handler: &str) -> String {
        let outcome = self.click(&["read", handler]);
        assert_eq!(outcome.status, 0, "{outcome:?}");
        outcome.out.trim().to_owned()
    }

    /// A handler that is a number.
    #[track_caller]
    pub fn count(&self, handler: &str) -> u64 {
        let text = self.read(handler);
        text.parse().unwrap_or_else(|_| panic!("{handler}: {text}"))
    }

    #[track_caller]
    pub fn write(&self, handler: &str, value: &str) {
        let outcome = self.click(&["write", handler, value]);
        assert_eq!(outcome.status, 0, "{outcome:?}");
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        self.folder.run(&["stop", "nf"]);
        if !std::thread::panicking() {
            self.folder.is_empty_soon();
        }
    }
}

//! Headless Chromium, driven by the DevTools protocol over two pipes.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long the browser may take for anything.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A browser with one page.
pub struct Browser {
    child: Child,
    input: ChildStdin,
    messages: Receiver<Value>,
    folder: PathBuf,
    session: String,
    asked: u64,
    /// Errors that the page has reported, and requests that went elsewhere.
    pub complaints: Vec<String>,
    origin: String,
}

impl Browser {
    /// Starts it, and goes to a page.
    #[track_caller]
    pub fn open(url: &str) -> Self {
        let folder = std::env::temp_dir().join(crate::unique("chromium"));
        // It reads commands at descriptor 3 and writes to 4.
        let line = format!(
            "exec chromium --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
             --disable-background-networking --user-data-dir={} --remote-debugging-pipe 3<&0 4>&1 1>/dev/null",
            folder.display()
        );
        let mut child = Command::new("sh")
            .args(["-c", &line])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh starts");
        let (input, output) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        let (to, messages) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(output).split(0).map_while(Result::ok) {
                let Ok(message) = serde_json::from_slice(&message) else { continue };
                if to.send(message).is_err() {
                    return;
                }
            }
        });
        let origin = url.trim_end_matches('/').to_owned();
        let mut browser = Self {
            child,
            input,
            messages,
            folder,
            session: String::new(),
            asked: 0,
            complaints: Vec::new(),
            origin,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", attach);
        browser.session = session["sessionId"].as_str().unwrap_or_default().to_owned();
        for domain in ["Runtime.enable", "Log.enable", "Network.enable", "Page.enable"] {
            browser.call(domain, json!({}));
        }
        browser.call("Page.navigate", json!({ "url": url }));
        browser
    }

    /// Asks the browser, and waits for the answer.
    #[track_caller]
    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        let mut message = json!({ "id": id, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let line = format!("{message}\0");
        self.input.write_all(line.as_bytes()).expect("the browser reads");
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let answer = self.messages.recv_timeout(left).unwrap_or_else(|e| panic!("{method}: {e}"));
            if answer["id"] == id {
                // Asked in the moment that the page is loaded again: there is no value.
                if answer["error"]["message"] == "Inspected target navigated or closed" {
                    return Value::Null;
                }
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
            self.hear(&answer);
        }
    }

    fn hear(&mut self, event: &Value) {
        let parameters = &event["params"];
        match event["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" => self.complaints.push(parameters.to_string()),
            "Runtime.consoleAPICalled" if parameters["type"] == "error" => {
                self.complaints.push(parameters["args"].to_string());
            }
            "Log.entryAdded" if parameters["entry"]["level"] == "error" => {
                self.complaints.push(parameters["entry"].to_string());
            }
            "Network.requestWillBeSent" => {
                let url = parameters["request"]["url"].as_str().unwrap_or_default();
                if !url.starts_with(&self.origin) {
                    self.complaints.push(format!("a request to {url}"));
                }
            }
            _ => {}
        }
    }

    /// The value of an expression on the page.
    #[track_caller]
    pub fn value(&mut self, expression: &str) -> Value {
        let parameters = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true, "userGesture": true });
        let outcome = self.call("Runtime.evaluate", parameters);
        assert!(outcome["exceptionDetails"].is_null(), "{expression}: {outcome}");
        outcome["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub fn until(&mut self, what: &str, expression: &str) {
        let deadline = Instant::now() + TIMEOUT;
        while self.value(expression) != true {
            if Instant::now() > deadline {
                let text = self.value("document.body.innerText");
                panic!("{what} did not happen; the page says {text}; complaints: {:?}", self.complaints);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Loads the page anew, and waits until that is done: what is looked at next is not the page before.
    #[track_caller]
    pub fn reload(&mut self) {
        self.value("(window.isBeforeReload = true, location.reload())");
        self.until("it is loaded again", "!window.isBeforeReload && document.readyState === 'complete'");
    }

    /// Clicks what a selector finds.
    #[track_caller]
    pub fn click(&mut self, selector: &str) {
        self.until(selector, &format!("!!document.querySelector({})", json!(selector)));
        self.value(&format!("document.querySelector({}).click()", json!(selector)));
    }

    /// Puts text into a field, as if it were typed over what is there.
    #[track_caller]
    pub fn fill(&mut self, selector: &str, text: &str) {
        self.until(selector, &format!("!!document.querySelector({})", json!(selector)));
        self.value(&format!(
            "{{ const f = document.querySelector({}); f.focus(); f.select(); }}",
            json!(selector)
        ));
        self.call("Input.insertText", json!({ "text": text }));
    }

    /// Makes the page so many pixels large, in light or dark colours; one as narrow as a phone's is touched.
    #[track_caller]
    pub fn looks(&mut self, (width, height): (u32, u32), dark: bool) {
        let touched = width < 700;
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": touched });
        self.call("Emulation.setDeviceMetricsOverride", size);
        self.call("Emulation.setTouchEmulationEnabled", json!({ "enabled": touched }));
        let scheme = if dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// What is seen, as a PNG in base64.
    #[track_caller]
    pub fn picture(&mut self) -> String {
        let taken =
            self.call("Page.captureScreenshot", json!({ "format": "png", "optimizeForSpeed": false }));
        taken["data"].as_str().unwrap_or_default().to_owned()
    }

    /// Goes to a place of the page.
    #[track_caller]
    pub fn goes(&mut self, place: &str) {
        self.value(&format!("void (location.hash = {})", json!(place)));
    }

    /// Moves the mouse, where it points at something from then on.
    #[track_caller]
    pub fn point(&mut self, x: f64, y: f64) {
        self.call("Input.dispatchMouseEvent", json!({ "type": "mouseMoved", "x": x, "y": y }));
    }

    /// Presses a key.
    #[track_caller]
    pub fn press(&mut self, key: &str) {
        self.press_with(key, 0);
    }

    /// Presses a key with others: 1 Alt, 2 Ctrl, 8 Shift.
    #[track_caller]
    pub fn press_with(&mut self, key: &str, others: u8) {
        for kind in ["keyDown", "keyUp"] {
            let text = match key {
                "Enter" => "\r",
                _ if key.len() == 1 => key,
                _ => "",
            };
            self.call(
                "Input.dispatchKeyEvent",
                json!({ "type": kind, "key": key, "text": text, "modifiers": others }),
            );
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Its helpers end a moment after it, and write until then.
        for _ in 0..50 {
            if std::fs::remove_dir_all(&self.folder).is_ok() || !self.folder.exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

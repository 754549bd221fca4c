// SPDX-License-Identifier: MIT
//! A headless Chromium, driven through its DevTools protocol over two pipes: no driver program, no
//! port, no further package. What a person would do is done with real clicks and keys.
#![allow(dead_code, missing_docs, clippy::all, clippy::pedantic)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]

use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// How long an answer may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A desktop's window, and the narrowest phone there is.
pub const DESKTOP: (u32, u32) = (1200, 800);
pub const PHONE: (u32, u32) = (360, 740);

pub struct Browser {
    process: Child,
    pipe: RefCell<ChildStdin>,
    lines: Receiver<Value>,
    last: Cell<u64>,
    session: String,
    folder: tempfile::TempDir,
    size: Cell<(u32, u32)>,
    /// What the browser complained about: scripts that failed, resources that were refused.
    complaints: RefCell<Vec<String>>,
    downloads: RefCell<Vec<String>>,
}

impl Browser {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let flags = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--remote-debugging-pipe",
        ];
        // The browser reads its orders from handle 3 and answers on 4.
        let mut process = Command::new("sh")
            .args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", "sh", "chromium"])
            .args(flags)
            .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (send, lines) = channel();
        let mut answers = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || {
            let mut text = Vec::new();
            while answers.read_until(0, &mut text).is_ok_and(|length| length > 0) {
                let message = serde_json::from_slice(text.strip_suffix(&[0]).unwrap_or(&text));
                if message.is_err() || send.send(message.unwrap()).is_err() {
                    break;
                }
                text.clear();
            }
        });
        let pipe = RefCell::new(process.stdin.take().unwrap());
        let mut browser = Self {
            process,
            pipe,
            lines,
            last: Cell::new(0),
            session: String::new(),
            folder,
            size: Cell::new(DESKTOP),
            complaints: RefCell::default(),
            downloads: RefCell::default(),
        };
        let target = browser.order("Target.createTarget", json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.order("Target.attachToTarget", attach);
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page.enable", "Runtime.enable", "Log.enable", "Network.enable"] {
            browser.order(domain, json!({}));
        }
        let to = browser.folder.path().join("downloads");
        fs::create_dir(&to).unwrap();
        let downloads = json!({"behavior": "allow", "downloadPath": to, "eventsEnabled": true});
        browser.order("Browser.setDownloadBehavior", downloads);
        browser.resize(DESKTOP);
        browser
    }

    /// Gives an order and waits for its answer; keeps what happens meanwhile.
    fn order(&self, method: &str, params: Value) -> Value {
        self.try_order(method, params).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    fn try_order(&self, method: &str, params: Value) -> Result<Value, Value> {
        let id = self.last.get() + 1;
        self.last.set(id);
        let mut message = json!({"id": id, "method": method, "params": params});
        if !self.session.is_empty() && !method.starts_with("Target.") {
            message["sessionId"] = self.session.clone().into();
        }
        let mut bytes = serde_json::to_vec(&message).unwrap();
        bytes.push(0);
        self.pipe.borrow_mut().write_all(&bytes).unwrap();
        loop {
            let message = self.next();
            if message["id"] == id {
                return match message.get("error") {
                    Some(error) => Err(error.clone()),
                    None => Ok(message["result"].clone()),
                };
            }
            self.note(&message);
        }
    }

    fn next(&self) -> Value {
        self.lines.recv_timeout(PATIENCE).expect("the browser answers")
    }

    fn note(&self, message: &Value) {
        let params = &message["params"];
        match message["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" => {
                self.complaints.borrow_mut().push(params["exceptionDetails"].to_string());
            }
            "Log.entryAdded" if params["entry"]["level"] == "error" => {
                self.complaints.borrow_mut().push(params["entry"].to_string());
            }
            "Browser.downloadProgress" if params["state"] == "completed" => {
                self.downloads.borrow_mut().push(params["guid"].to_string());
            }
            _ => {}
        }
    }

    pub fn resize(&self, (width, height): (u32, u32)) {
        self.size.set((width, height));
        let mobile = width < 600;
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile,
        });
        self.order("Emulation.setDeviceMetricsOverride", size);
    }

    /// The value of an expression, awaited; null if the page went away meanwhile.
    pub fn value(&self, expression: &str) -> Value {
        let asked = json!({
            "expression": expression, "awaitPromise": true, "returnByValue": true,
        });
        let Ok(answer) = self.try_order("Runtime.evaluate", asked) else { return Value::Null };
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true, in whatever page is there then.
    pub fn wait_for(&self, expression: &str) {
        let asked = format!(
            "new Promise(done => {{ const until = Date.now() + 1000; const look = async () => {{ \
             let found = false; try {{ found = !!(await ({expression})); }} catch (e) {{}} \
             if (found || Date.now() > until) done(found); else setTimeout(look, 25); }}; look(); }})"
        );
        for _ in 0..PATIENCE.as_secs() {
            if self.value(&asked) == true {
                return;
            }
        }
        panic!("waited in vain for {expression}; the page says: {}", self.text());
    }

    pub fn open(&self, address: &str) {
        self.leave(|| {
            self.order("Page.navigate", json!({ "url": address }));
        });
    }

    /// Goes there as a click on a link does, with the page's address as the referrer.
    pub fn follow(&self, address: &str) {
        self.leave(|| {
            self.value(&format!("void (location.href = {})", json!(address)));
        });
    }

    /// Does something that ends on another page, and waits for that.
    pub fn leave(&self, act: impl FnOnce()) {
        self.value("void (window.isOld = true)");
        act();
        self.wait_for("!window.isOld && document.readyState === 'complete'");
    }

    /// Clicks in the middle of an element, where it is visible.
    pub fn click(&self, selector: &str) {
        let place = self.value(&format!(
            "(() => {{ const one = document.querySelector({}); if (!one) return null; \
             one.scrollIntoView({{block: 'center', behavior: 'instant'}}); \
             const box = one.getBoundingClientRect(); \
             const x = box.x + box.width / 2, y = box.y + box.height / 2; \
             const top = document.elementFromPoint(x, y); \
             return one.contains(top) || (top && top.contains(one)) ? [x, y] : 'covered'; }})()",
            json!(selector)
        ));
        assert!(place.is_array(), "cannot click {selector} ({place}): {}", self.text());
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({
                "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1,
            });
            self.order("Input.dispatchMouseEvent", event);
        }
    }

    /// A click that leads to another page.
    pub fn click_away(&self, selector: &str) {
        self.leave(|| self.click(selector));
    }

    /// A key, such as `Tab` or `Enter`.
    pub fn press(&self, key: &str) {
        let code = if key == "Enter" { 13 } else { 9 };
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            let event = json!({
                "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text,
            });
            self.order("Input.dispatchKeyEvent", event);
        }
    }

    pub fn fill(&self, selector: &str, text: &str) {
        self.value(&format!(
            "(() => {{ const one = document.querySelector({}); one.focus(); one.value = ''; }})()",
            json!(selector)
        ));
        self.order("Input.insertText", json!({ "text": text }));
    }

    /// What the page shows.
    pub fn text(&self) -> String {
        self.value("document.body ? document.body.innerText : ''").as_str().unwrap_or("").to_owned()
    }

    pub fn address(&self) -> String {
        self.value("location.href").as_str().unwrap_or_default().to_owned()
    }

    pub fn has(&self, selector: &str) -> bool {
        self.value(&format!("document.querySelector({}) !== null", json!(selector))) == true
    }

    /// `[status, final address, body]` of a request that a script of this page makes.
    pub fn fetch(&self, address: &str, form: Option<Value>) -> (u64, String, String) {
        let options = form.map_or("{}".to_owned(), |form| {
            format!("{{method: 'POST', body: new URLSearchParams({form})}}")
        });
        let answer = self.value(&format!(
            "fetch({}, {options}).then(async a => [a.status, a.url, await a.text()])",
            json!(address)
        ));
        let text = |at: usize| answer[at].as_str().unwrap().to_owned();
        (answer[0].as_u64().unwrap(), text(1), text(2))
    }

    /// Does what starts a download, and waits for it: the name and the bytes.
    pub fn download(&self, act: impl FnOnce()) -> (String, Vec<u8>) {
        let before = self.downloads.borrow().len();
        act();
        while self.downloads.borrow().len() == before {
            let message = self.next();
            self.note(&message);
        }
        let folder = self.folder.path().join("downloads");
        let mut found: Vec<PathBuf> =
            fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        let path = found.pop().unwrap();
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        (path.file_name().unwrap().to_str().unwrap().to_owned(), bytes)
    }

    /// Keeps a picture of the whole page below `target/pages`.
    pub fn picture(&self, name: &str) {
        let (width, height) = self.size.get();
        let tall = self.value("document.documentElement.scrollHeight").as_u64().unwrap_or(0);
        let clip = json!({
            "x": 0, "y": 0, "width": width, "height": tall.clamp(height.into(), 3000), "scale": 1,
        });
        let asked = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let picture = self.order("Page.captureScreenshot", asked);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/pages");
        fs::create_dir_all(&folder).unwrap();
        let bytes = from_base64(picture["data"].as_str().unwrap());
        fs::write(folder.join(format!("{name}.png")), bytes).unwrap();
    }

    /// Fails if a script failed or a resource was refused since the last time.
    pub fn assert_content(&self) {
        self.value("1");
        let complaints = self.complaints.take();
        assert!(complaints.is_empty(), "the browser complains: {complaints:#?}");
    }

    pub fn forgive(&self) {
        self.value("1");
        self.complaints.take();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may be gone already, and its folder goes with it.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn from_base64(text: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for group in text.trim_end_matches('=').as_bytes().chunks(4) {
        let sum = group.iter().fold(0_u32, |sum, c| sum << 6 | u32::from(value(*c)));
        let sum = sum << (6 * (4 - group.len()));
        bytes.extend(sum.to_be_bytes()[1..].iter().take(group.len() * 3 / 4));
    }
    bytes
}

//! A headless browser, and what it makes of a page.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// A browser that is installed.
pub(crate) struct Browser(&'static str);

/// The colour scheme that the browser reports as preferred.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scheme {
    Dark = 0,
    Light = 1,
}

/// How long it may take on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(60);
/// Reports what became of the page that it is in.
const PROBE: &str = include_str!("probe.html");
/// So that it opens the page and nothing else.
const FLAGS: [&str; 12] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--window-size=1200,900",
    "--enable-logging=stderr",
    "--virtual-time-budget=2000",
];

impl Browser {
    pub(crate) fn find() -> Option<Browser> {
        let answers = |name: &&str| {
            let version = Command::new(name).arg("--version").output();
            version.is_ok_and(|output| output.status.success())
        };
        let names = ["chromium", "chromium-browser", "google-chrome"];
        names.into_iter().find(answers).map(Browser)
    }

    /// The name of its command.
    pub(crate) fn name(&self) -> &'static str {
        self.0
    }

    /// Opens a page of this width, and returns what the probe in it saw.
    pub(crate) fn show(&self, name: &str, page: &str, width: u32, scheme: Scheme) -> Value {
        let folder = super::temporary(&format!("page-browser-{name}")).display().to_string();
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(format!("{folder}/page.html"), framed(page, width)).expect("a file");
        self.open(&folder, scheme);
        let read = |name: &str| fs::read_to_string(format!("{folder}/{name}")).expect("a file");
        let (dom, log) = (read("dom"), read("log"));
        // The probe logs a message too, which shows that others would be seen.
        let messages: Vec<_> = log.lines().filter(|line| line.contains(":CONSOLE")).collect();
        assert!(matches!(messages[..], [only] if only.contains("the probe was here")), "{log}");
        let seen = dom.split("<pre id=\"seen\">").nth(1).and_then(|it| it.split("</pre>").next());
        serde_json::from_str(seen.expect("what the probe saw")).expect("an object")
    }

    /// Writes the document and the log to the folder.
    fn open(&self, folder: &str, scheme: Scheme) {
        let file = |name: &str| File::create(format!("{folder}/{name}")).expect("a file");
        let mut command = Command::new(self.0);
        command.args(FLAGS).arg(format!("--user-data-dir={folder}/profile"));
        command.arg(format!("--blink-settings=preferredColorScheme={}", scheme as u8));
        command.args(["--dump-dom", &format!("file://{folder}/page.html")]);
        command.stdin(Stdio::null()).stdout(file("dom")).stderr(file("log"));
        // If it hangs, its processes are killed together.
        wait(command.process_group(0).spawn().expect("a browser"));
    }
}

/// The page with a probe in it, in a frame of this width: no window is as narrow as that.
fn framed(page: &str, width: u32) -> String {
    let page = page.replace("</body>", PROBE).replace('&', "&amp;").replace('"', "&quot;");
    format!(
        "<!DOCTYPE html><html style=\"color-scheme: light dark\"><body><iframe width={width} \
         height=900 style=\"border: 0\" srcdoc=\"{page}\"></iframe></body></html>"
    )
}

fn wait(mut browser: Child) {
    let until = Instant::now() + PATIENCE;
    while browser.try_wait().expect("its state").is_none() {
        if Instant::now() > until {
            let group = format!("-{}", browser.id());
            let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
            let _ = browser.wait();
            panic!("the browser hangs");
        }
        thread::sleep(Duration::from_millis(20));
    }
}

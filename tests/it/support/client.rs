//! The load client, as a process that must end.

use std::io::Read;
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{PATIENCE, eventually};

/// The real program, with a server to load.
pub(crate) fn client(target: SocketAddr, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_client"));
    command.args([target.ip().to_string(), target.port().to_string()]).args(flags);
    command
}

/// What came of a run: its exit code, its JSON, and what it said beside that.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) code: i32,
    pub(crate) result: Value,
    pub(crate) stderr: String,
}

pub(crate) fn run(target: SocketAddr, flags: &[&str]) -> Output {
    Process::start(client(target, flags)).output()
}

/// Runs it with `--json`.
pub(crate) fn told(target: SocketAddr, flags: &[&str]) -> Told {
    Process::start(client(target, &[flags, &["--json"]].concat())).told()
}

/// Runs it with `--json` and returns the exit code and the object.
pub(crate) fn run_json(target: SocketAddr, flags: &[&str]) -> (i32, Value) {
    let Told { code, result, .. } = told(target, flags);
    (code, result)
}

impl Told {
    /// Reads what a process has left behind. One that a signal has ended has no code,
    /// and one that hides its results no object: both fail the test.
    pub(crate) fn of(output: &Output) -> Told {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let code = output.status.code().unwrap_or_else(|| panic!("{}: {stderr}", output.status));
        let result = serde_json::from_slice(&output.stdout);
        Told { code, result: result.unwrap_or_else(|error| panic!("{error}: {stderr}")), stderr }
    }

    pub(crate) fn number(&self, key: &str) -> u64 {
        self.result[key].as_u64().unwrap_or_else(|| panic!("no {key} in {}", self.result))
    }

    /// A latency, in milliseconds.
    pub(crate) fn millis(&self, kind: &str, key: &str) -> f64 {
        let value = &self.result[kind][key];
        value.as_f64().unwrap_or_else(|| panic!("no {kind}.{key} in {}", self.result)) / 1000.0
    }

    pub(crate) fn complaints(&self) -> Vec<(String, u64)> {
        let complaints = self.result["complaints"].as_object().expect("an object");
        complaints.iter().map(|(text, times)| (text.clone(), times.as_u64().expect("it"))).collect()
    }

    /// That it ended with 1, and that its complaints are these and no others: in the
    /// JSON, and each with its number on a line of standard error.
    pub(crate) fn assert_complaints(&self, expected: &[(&str, u64)]) {
        let complaints = self.complaints();
        let these: Vec<_> = complaints.iter().map(|(text, times)| (&text[..], *times)).collect();
        assert_eq!((self.code, &these[..]), (1, expected), "{}", self.stderr);
        for (text, times) in expected {
            let line = format!("{times} x {text}");
            assert!(self.stderr.lines().any(|it| it == line), "{line} in {}", self.stderr);
        }
    }
}

/// A process that is listened to, and killed if the test is given up.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    stdout: Ear,
    stderr: Ear,
}

impl Process {
    pub(crate) fn start(mut command: Command) -> Process {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("a process");
        let stdout = Ear::new(child.stdout.take().expect("a pipe"));
        let stderr = Ear::new(child.stderr.take().expect("a pipe"));
        Process { child, stdout, stderr }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.id().to_string()]).status();
        assert!(status.expect("kill").success(), "{signal}");
    }

    /// Waits for a line on standard error.
    pub(crate) fn wait_to_hear(&self, what: &str) {
        eventually(what, || {
            thread::sleep(Duration::from_millis(1));
            self.stderr.so_far().contains(what)
        });
    }

    /// Waits until signals are blocked, and therefore kept until they are read.
    pub(crate) fn wait_for_its_signals(&self) {
        let path = format!("/proc/{}/status", self.id());
        let blocked = || std::fs::read_to_string(&path).unwrap_or_default();
        eventually("it blocks signals", || {
            blocked().lines().any(|line| line.starts_with("SigBlk:") && !line.ends_with("0000"))
        });
    }

    /// Waits for its end; a process that does not come to it fails the test.
    pub(crate) fn output(mut self) -> Output {
        let until = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a status") {
                break status;
            }
            assert!(Instant::now() < until, "it hangs: {}", self.stderr.so_far());
            thread::sleep(Duration::from_millis(1));
        };
        Output { status, stdout: self.stdout.all(), stderr: self.stderr.all() }
    }

    pub(crate) fn told(self) -> Told {
        Told::of(&self.output())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // After `output` there is nothing left to kill, which is no error.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What has come out of a pipe so far.
#[derive(Debug)]
struct Ear {
    heard: Arc<Mutex<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
}

impl Ear {
    fn new(mut pipe: impl Read + Send + 'static) -> Ear {
        let heard = Arc::default();
        let notes: Arc<Mutex<Vec<u8>>> = Arc::clone(&heard);
        let listen = move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                notes.lock().expect("no panic").extend_from_slice(&buffer[..count]);
            }
        };
        Ear { heard, thread: Some(thread::spawn(listen)) }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.heard.lock().expect("no panic")).into_owned()
    }

    fn all(&mut self) -> Vec<u8> {
        self.thread.take().expect("it was not waited for").join().expect("no panic");
        std::mem::take(&mut self.heard.lock().expect("no panic"))
    }
}

//! The program `server`, as a process.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use reactor_server::program::cpu::time_of_process;
use rustix::process::{Pid, Signal, kill_process};

use super::streams::{connect, round_trip};
use super::{eventually, temporary};

pub(crate) const SERVER: &str = env!("CARGO_BIN_EXE_server");

/// A server on a port of its own, with a log file; killed when the test ends.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) log: PathBuf,
}

impl ServerProcess {
    pub(crate) fn start(flags: &[&str]) -> ServerProcess {
        ServerProcess::start_on(Ipv4Addr::LOCALHOST.into(), flags)
    }

    pub(crate) fn start_on(ip: IpAddr, flags: &[&str]) -> ServerProcess {
        let log = new_log();
        let mut command = Command::new(SERVER);
        command.args([&ip.to_string(), "0", "--log-file"]).arg(&log).args(flags);
        ServerProcess::spawn(command, log)
    }

    /// Starts it where another one was. It prints its address for port 0 alone.
    pub(crate) fn start_at(address: SocketAddr) -> ServerProcess {
        let (log, port) = (new_log(), address.port().to_string());
        let mut command = Command::new(SERVER);
        command.args(["127.0.0.1", &port, "--log-file"]).arg(&log);
        let child = command.spawn().expect("a process");
        let server = ServerProcess { child, address, log };
        server.wait_for_log("listening on");
        server
    }

    /// Runs a command that starts it, and reads the address that it prints.
    pub(crate) fn spawn(mut command: Command, log: PathBuf) -> ServerProcess {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("a process");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("its output"));
        stdout.read_line(&mut line).expect("a line");
        // It may print more.
        child.stdout = Some(stdout.into_inner());
        let address = line.trim().strip_prefix("listening on ").map(str::parse);
        let address = address.and_then(Result::ok).unwrap_or_else(|| panic!("{line:?}"));
        ServerProcess { child, address, log }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        connect(self.address)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is signalled");
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn wait_for_log(&self, text: &str) {
        eventually(text, || self.log().contains(text));
    }

    /// The value of a counter, from the line that it logs on SIGUSR1.
    pub(crate) fn counter(&self, name: &str) -> String {
        let name = format!(" {name}=");
        let lines = || self.log().lines().filter(|line| line.contains("counters ")).count();
        let before = lines();
        self.signal(Signal::USR1);
        eventually("the counters", || lines() > before);
        let log = self.log();
        let line = log.lines().rfind(|line| line.contains("counters ")).expect("the counters");
        let value = line.split_once(&name).and_then(|(_, rest)| rest.split(' ').next());
        value.unwrap_or_else(|| panic!("no {name} in {line}")).to_owned()
    }

    /// Waits for its end.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        let mut status = None;
        eventually("the exit", || {
            status = self.child.try_wait().expect("a status");
            status.is_some()
        });
        status.and_then(|status| status.code())
    }

    pub(crate) fn is_alive(&self) -> bool {
        round_trip(self.connect(), b"alive?".to_vec()) == b"alive?"
    }

    /// What `/proc` has of it.
    pub(crate) fn process(&self) -> procfs::process::Process {
        procfs::process::Process::new(self.id() as i32).expect("it runs")
    }

    /// Waits until it has used 10 ms of CPU time.
    pub(crate) fn wait_until_busy(&self) {
        let used = || time_of_process(self.id() as i32).expect("its CPU time");
        let before = used();
        eventually("the server is busy", || used() > before + Duration::from_millis(10));
    }

    /// Kills it as the kernel does when out of memory.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_file(&self.log);
    }
}

/// A path that no other server of this run logs to.
pub(crate) fn new_log() -> PathBuf {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    temporary(&format!("server-{}.log", NUMBER.fetch_add(1, Relaxed)))
}

//! The server, as a process that can be killed.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// The real program.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Program {
    pub(crate) fn start() -> Program {
        Program::start_with(&[])
    }

    pub(crate) fn start_with(flags: &[&str]) -> Program {
        let mut child = spawn("0", flags);
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let address = line.split_whitespace().last().and_then(|word| word.parse().ok());
        Program { child, address: address.unwrap_or_else(|| panic!("no address: {line:?}")) }
    }

    /// Starts it where another was.
    pub(crate) fn start_at(address: SocketAddr) -> Program {
        Program { child: spawn(&address.port().to_string(), &[]), address }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has worked for some milliseconds.
    pub(crate) fn wait_until_busy(&self) {
        let folder = format!("/proc/{}/task", self.id());
        let nanoseconds = || -> u64 {
            let tasks = std::fs::read_dir(&folder).expect("it runs").flatten();
            let read = |path| std::fs::read_to_string(path).unwrap_or_default();
            let texts = tasks.map(|task| read(task.path().join("schedstat")));
            texts.filter_map(|text| text.split(' ').next()?.parse::<u64>().ok()).sum()
        };
        let before = nanoseconds();
        super::eventually("the server is busy", || nanoseconds() > before + 10_000_000);
    }

    /// Ends it as the kernel would for want of memory.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(port: &str, flags: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_server"));
    command.args(["127.0.0.1", port, "-t", "1", "--log-file", "/dev/null"]).args(flags);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().expect("a process")
}

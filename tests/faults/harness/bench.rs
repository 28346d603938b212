//! The server under test, and how hard it is tested.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::free_port::free_port;
use crate::harness::cli::Cli;
use crate::harness::groups::Groups;
use crate::harness::row::Skip;
use crate::harness::server::Server;

/// The server under test and the measure of the run.
pub(crate) struct Bench {
    /// Its command line if it is not ours.
    command: Vec<String>,
    /// Whether the rows are run in full.
    pub(crate) all: bool,
    /// How long to soak.
    pub(crate) soak: Duration,
    /// Where its output and whatever else is kept.
    pub(crate) folder: PathBuf,
    /// The servers that were started.
    groups: Groups,
}

/// A server that is about to be started.
pub(crate) struct Launch<'a> {
    bench: &'a Bench,
    wrapper: Vec<String>,
    flags: Vec<String>,
    stdio: Option<(Stdio, Stdio)>,
}

const OURS: &str = env!("CARGO_BIN_EXE_server");
const PORT: &str = "{port}";

impl Bench {
    pub(crate) fn new(cli: &Cli) -> Result<Bench> {
        let command = cli.command.clone();
        let names_port = command.iter().any(|word| word.contains(PORT));
        ensure!(command.is_empty() || names_port, "the command line must say where {PORT} goes");
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join("faults")
            .join(std::process::id().to_string());
        fs::create_dir_all(&folder).context("cannot keep output")?;
        let groups = Groups::default();
        groups.end_all_on_signal().context("cannot handle signals")?;
        let soak = Duration::from_secs_f64(60.0 * cli.soak);
        let bench = Bench { command, all: cli.all, soak, folder, groups };
        // A server that does not start at all has failed no row.
        bench.server().start().context("the server does not start")?;
        Ok(bench)
    }

    pub(crate) fn title(&self) -> String {
        if self.is_ours() { "this project's server".into() } else { self.command.join(" ") }
    }

    pub(crate) fn is_ours(&self) -> bool {
        self.command.is_empty()
    }

    /// Skips a row whose tool is not installed.
    pub(crate) fn must_have(&self, tool: &str) -> Result<()> {
        let found =
            Command::new("sh").args(["-c", "command -v \"$0\" >/dev/null", tool]).status()?;
        if found.success() { Ok(()) } else { Err(Skip(format!("{tool} is not installed")).into()) }
    }

    /// The first figure in a quick run, the second in a full one.
    pub(crate) fn measure<T>(&self, quick: T, full: T) -> T {
        if self.all { full } else { quick }
    }

    /// The server, about to be started.
    pub(crate) fn server(&self) -> Launch<'_> {
        Launch { bench: self, wrapper: Vec::new(), flags: Vec::new(), stdio: None }
    }

    /// Ends whatever a row has left running.
    pub(crate) fn end_all(&self) {
        self.groups.end_all();
    }
}

impl Launch<'_> {
    /// Flags for our server; another keeps the command line it was given.
    pub(crate) fn flags(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(|&flag| flag.to_owned()));
        self
    }

    /// A command that starts the server in its turn: `prlimit --nofile=100`.
    pub(crate) fn wrapped_in(mut self, words: &[&str]) -> Self {
        self.wrapper.extend(words.iter().map(|&word| word.to_owned()));
        self
    }

    /// Its standard output and error; by default both go to a file.
    pub(crate) fn output(mut self, stdout: Stdio, stderr: Stdio) -> Self {
        self.stdio = Some((stdout, stderr));
        self
    }

    /// Starts it and waits until it can be connected to.
    pub(crate) fn start(self) -> Result<Server> {
        self.start_on(free_address()?)
    }

    /// As [`start`](Launch::start), at this address.
    pub(crate) fn start_on(self, address: SocketAddr) -> Result<Server> {
        let server = self.launch(address)?;
        server.wait_until_it_listens()?;
        Ok(server)
    }

    /// Starts it and does not wait.
    pub(crate) fn launch(mut self, address: SocketAddr) -> Result<Server> {
        let (stdout, stderr) = match self.stdio.take() {
            Some(stdio) => stdio,
            None => self.to_file()?,
        };
        let words = self.words(address);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        let groups = &self.bench.groups;
        let child =
            groups.start(&mut command).with_context(|| format!("cannot start {}", words[0]))?;
        Ok(Server::new(child, groups.clone(), address))
    }

    fn words(&self, address: SocketAddr) -> Vec<String> {
        let mut words = self.wrapper.clone();
        if self.bench.is_ours() {
            words.extend([OURS.into(), address.ip().to_string(), address.port().to_string()]);
            words.extend(self.flags.iter().cloned());
        } else {
            let port = address.port().to_string();
            words.extend(self.bench.command.iter().map(|word| word.replace(PORT, &port)));
        }
        words
    }

    fn to_file(&self) -> Result<(Stdio, Stdio)> {
        let file =
            File::options().create(true).append(true).open(self.bench.folder.join("output"))?;
        Ok((file.try_clone()?.into(), file.into()))
    }
}

/// An address that nothing listens on.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok((Ipv4Addr::LOCALHOST, free_port().context("no port is free")?).into())
}

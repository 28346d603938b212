//! A network of our own, in which packets may be lost.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::harness::row::Skip;

/// A network namespace with nothing but `lo`, whose packets are as large as on
/// Ethernet, so that a stream is more than a few of them. It is gone with its keeper,
/// which ends when this program does, however it ends.
pub(crate) struct Namespace {
    keeper: Child,
    file: File,
}

const KEEPER: &str = "ip link set lo mtu 1500 gso_max_segs 1 up && echo up && exec cat";

impl Namespace {
    /// Skips the row where there can be none.
    pub(crate) fn new() -> Result<Namespace> {
        Namespace::try_new()
            .map_err(|error| Skip(format!("no network namespace: {error:#}")).into())
    }

    fn try_new() -> Result<Namespace> {
        let mut keeper = Command::new("unshare")
            .args(["--net", "sh", "-c", KEEPER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("unshare")?;
        let stdout = keeper.stdout.take().context("its output is piped")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        if line != "up\n" {
            keeper.wait()?;
            bail!("unshare and ip need root");
        }
        let file = File::open(format!("/proc/{}/ns/net", keeper.id()))?;
        let namespace = Namespace { keeper, file };
        namespace.inside(|| Ok(()))?;
        Ok(namespace)
    }

    /// Runs `act` inside. What it opens and starts stays there.
    pub(crate) fn inside<T: Send>(&self, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let enter = || {
            let network = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(self.file.as_fd(), network).context("cannot enter")?;
            act()
        };
        let ended = thread::scope(|scope| scope.spawn(enter).join());
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

/// Runs `act` where the kernel gives all sockets such buffers (least, usual, most), which a
/// server's command line cannot set. Where that is not possible it runs `act` without them,
/// and adds a note.
pub(crate) fn with_buffers(
    bytes: [u32; 3],
    act: impl FnOnce() -> Result<String> + Send,
) -> Result<String> {
    match Namespace::new() {
        Ok(namespace) => namespace.inside(|| {
            let [least, usual, most] = bytes;
            for name in ["tcp_rmem", "tcp_wmem"] {
                let path = format!("/proc/sys/net/ipv4/{name}");
                fs::write(path, format!("{least} {usual} {most}")).context(name)?;
            }
            act()
        }),
        Err(error) if error.is::<Skip>() => {
            act().map(|figure| format!("{figure} (the server's buffers as usual: {error})"))
        }
        Err(error) => Err(error),
    }
}

/// Replaces the packet filter of the namespace that the calling thread is in.
/// Skips the row where that cannot be done.
pub(crate) fn filter(rules: &str) -> Result<()> {
    let table = format!(
        "flush ruleset\ntable ip faults {{\ncounter lost {{ }}\nchain arriving {{\n\
         type filter hook input priority 0\n{rules}\n}}\n}}\n"
    );
    nft(&["-f", "-"], &table).map(drop)
}

/// How many packets were lost by rules with `counter name lost`.
pub(crate) fn lost() -> Result<u64> {
    let text = nft(&["list", "counter", "ip", "faults", "lost"], "")?;
    let mut words = text.split_whitespace().skip_while(|&word| word != "packets").skip(1);
    words.next().and_then(|word| word.parse().ok()).context("nft counts nothing")
}

fn nft(words: &[&str], input: &str) -> Result<String> {
    run_nft(words, input).map_err(|error| Skip(format!("no packet filter: {error:#}")).into())
}

fn run_nft(words: &[&str], input: &str) -> Result<String> {
    let mut child = Command::new("nft")
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("nft")?;
    child.stdin.take().context("its input is piped")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "nft: {}", complaint.lines().next().unwrap_or_default());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

//! `server`: the multi-reactor echo server.

mod admin;
mod cli;
mod counters;
mod daemon;
mod interval;
mod pid_file;
mod preflight;
mod service;
mod status;

use std::io::{self, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use admin::Admin;
use anyhow::{Context, anyhow, ensure};
use cli::Cli;
use interval::IntervalLog;
use pid_file::PidFile;
use reactor_server::program::cause::with_limits;
use reactor_server::program::limits::{
    cpus, descriptor_limits, give_memory_back, raise_descriptor_limit,
};
use reactor_server::program::logger::Logger;
use reactor_server::program::signals::{Signal, Signals, survive_file_size_limit};
use reactor_server::program::stream::print_error_within;
use reactor_server::program::target::Target;
use reactor_server::program::thread::{self, NotStarted};
use reactor_server::{Config, Echo, Ending, Handle, Server};
use status::{Serving, Status};

/// How long the program waits for its log to be reopened, and at its end for those that read its log
/// and its errors.
const OUTPUT_TIMEOUT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    survive_file_size_limit();
    let cli = Cli::parse_or_exit();
    let code = match cli.generate() {
        Some(generated) => generated.map(|()| ExitCode::SUCCESS).map_err(|error| anyhow!(error)),
        None if cli.check => preflight::check(&cli),
        None if cli.daemon && !daemon::is_child() => daemon::start(&cli),
        None => run(&cli).map(|ending| match ending {
            Ending::Drained => ExitCode::SUCCESS,
            Ending::Forced => ExitCode::FAILURE,
        }),
    };
    code.unwrap_or_else(|error| {
        print_error_within(&format!("error: {error:#}"), OUTPUT_TIMEOUT);
        ExitCode::FAILURE
    })
}

fn run(cli: &Cli) -> anyhow::Result<Ending> {
    give_memory_back();
    // Before signals are blocked, because it may have to wait for the network.
    let addresses = addresses_of(&cli.target())?;
    let admin_addresses = match &cli.admin.0 {
        Some(target) => addresses_of(target).context("--admin")?,
        None => Vec::new(),
    };
    if cli.daemon {
        daemon::leave_terminal()?;
    }
    // Before the log is touched, which another server may write. Dropped at the very end.
    let _pid_file = cli.pid_file.as_deref().map(PidFile::take).transpose()?;
    // Before there are other threads, because it removes variables from the environment.
    let listener = service::passed_listener()?;
    let signals = Signals::block().context("cannot block signals")?;
    let log_file = cli.log_file();
    let logger =
        Logger::start(log_file).map_err(|error| match (NotStarted::of(&error), log_file) {
            (None, Some(path)) => {
                let context = format!("cannot write the log to {}", path.display());
                anyhow::Error::new(error).context(context)
            }
            _ => with_limits(error).into(),
        })?;
    // A panic goes to the log too: writing it to a pipe could block.
    std::panic::set_hook(Box::new(|panic| log::error!("{panic}")));
    let ending = serve(cli, &addresses, &admin_addresses, listener, signals, &logger);
    logger.end(OUTPUT_TIMEOUT);
    ending
}

fn serve(
    cli: &Cli,
    addresses: &[SocketAddr],
    admin_addresses: &[SocketAddr],
    listener: Option<TcpListener>,
    signals: Signals,
    logger: &Logger,
) -> anyhow::Result<Ending> {
    cli.warnings.iter().for_each(|warning| log::warn!("{warning}"));
    match descriptor_limits().and_then(|(soft, _)| Ok((soft, raise_descriptor_limit()?))) {
        Ok((soft, raised)) if soft < raised => {
            log::info!("raised the limit of open descriptors (ulimit -n) from {soft} to {raised}");
        }
        Ok(_) => {}
        Err(error) => log::warn!("cannot raise the limit of open descriptors: {error}"),
    }
    let status = Arc::new(Status::new());
    handle_signals(signals, Arc::clone(&status), logger.clone(), cli.drain_delay)
        .map_err(with_limits)?;
    let admin = start_admin(admin_addresses, &status, logger)?;
    // Last of all: the kernel queues connections once it listens.
    let server = match listener {
        Some(listener) => serve_on(listener, cli)?,
        None => bind(cli, addresses)?,
    };
    let handle = server.handle();
    let interval_log = cli.stats_interval.0.map(|interval| {
        IntervalLog::start(interval, handle.clone(), logger.clone()).map_err(with_limits)
    });
    let interval_log = interval_log.transpose()?;
    status.serve(Serving {
        server: handle.clone(),
        max_connections: server.max_connections(),
        port: server.local_addr().port(),
    });
    announce(&server, cli);
    if let Some(admin) = &admin {
        announce_admin(admin, cli);
    }
    service::notify_ready(&format!("listening on {}", server.local_addr()));
    if cli.daemon {
        daemon::report_ready()?;
    }
    let ending = server.run();
    // Before the summary, which is the last line.
    if let Some(admin) = admin {
        admin.end();
    }
    if let Some(interval_log) = interval_log {
        interval_log.end();
    }
    counters::log_summary(handle.stats(), logger.dropped());
    Ok(ending?)
}

fn addresses_of(target: &Target) -> anyhow::Result<Vec<SocketAddr>> {
    let addresses = target.addresses().with_context(|| format!("cannot find {}", target.host))?;
    ensure!(!addresses.is_empty(), "{} has no address", target.host);
    Ok(addresses)
}

/// Starts the admin server, if it has addresses.
fn start_admin(
    addresses: &[SocketAddr],
    status: &Arc<Status>,
    logger: &Logger,
) -> anyhow::Result<Option<Admin>> {
    if addresses.is_empty() {
        return Ok(None);
    }
    let start = |address| Admin::start(address, Arc::clone(status), logger.clone());
    first_bound(addresses, start).context("--admin").map(Some)
}

/// Serves on a listener that was passed to this process.
fn serve_on(listener: TcpListener, cli: &Cli) -> anyhow::Result<Server<Echo>> {
    let address = listener.local_addr().context("the socket that was passed")?;
    log::info!("{address} was passed to the server (LISTEN_FDS): IP and PORT are not used");
    Server::from_listener(listener, cli.config(address), cli.handler())
        .map_err(|error| cannot_bind(address, error))
}

fn bind(cli: &Cli, addresses: &[SocketAddr]) -> anyhow::Result<Server<Echo>> {
    first_bound(addresses, |address| Server::bind(cli.config(address), cli.handler()))
}

/// Binds to the first of a host's addresses that this machine has. (That a port is in use is
/// an error: the next address of `localhost` would be another server's.)
fn first_bound<T>(
    addresses: &[SocketAddr],
    bind: impl Fn(SocketAddr) -> io::Result<T>,
) -> anyhow::Result<T> {
    let mut result = Err(anyhow!("there is no address"));
    for &address in addresses {
        match bind(address) {
            Ok(bound) => return Ok(bound),
            Err(error) => {
                let code = error.raw_os_error();
                result = Err(cannot_bind(address, error));
                if !matches!(code, Some(libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT)) {
                    break;
                }
            }
        }
    }
    result
}

fn cannot_bind(address: SocketAddr, error: io::Error) -> anyhow::Error {
    if NotStarted::of(&error).is_some() {
        return with_limits(error).into();
    }
    let hint = match error.raw_os_error() {
        Some(libc::EAFNOSUPPORT) if address.is_ipv6() => "; this kernel has no IPv6",
        Some(libc::EADDRNOTAVAIL) if address.is_ipv6() => {
            "; it is no address of this machine, or IPv6 is disabled \
             (net.ipv6.conf.all.disable_ipv6)"
        }
        Some(libc::EADDRNOTAVAIL) => "; it is no address of this machine",
        _ => "",
    };
    anyhow!("cannot listen on {address}: {}{hint}", with_limits(error))
}

/// Says that the server listens, which is true from now on: all threads run.
fn announce(server: &Server<Echo>, cli: &Cli) {
    let Config { io_threads, workers, max_connections, .. } = cli.config(server.local_addr());
    let (address, most) = (server.local_addr(), server.max_connections());
    if max_connections.is_some_and(|wanted| most < wanted) {
        log::warn!("the limit of open descriptors (ulimit -n) allows {most} connections, not more");
    }
    log::info!(
        "listening on {address} io-threads={io_threads} workers={workers} framing={} \
         max-connections={most} pid={}{}",
        cli.framing(),
        std::process::id(),
        if address.ip() == Ipv6Addr::UNSPECIFIED { " families=ipv6,ipv4" } else { "" },
    );
    if let Some(warning) = too_many_threads(io_threads, cpus()) {
        log::warn!("{warning}");
    }
    if cli.has_any_port() {
        // For a program that started this one. It need not read it.
        let _ = writeln!(io::stdout(), "listening on {address}");
    }
}

fn announce_admin(admin: &Admin, cli: &Cli) {
    let line = format!("live page on http://{}/", admin.address);
    log::info!("{line}");
    if cli.admin.0.as_ref().is_some_and(|target| target.port == 0) {
        let _ = writeln!(io::stdout(), "{line}");
    }
}

/// A warning if there are more I/O threads than the CPUs can use.
fn too_many_threads(io_threads: usize, cpus: usize) -> Option<String> {
    let (most, noun) = (2 * cpus, if cpus == 1 { "CPU" } else { "CPUs" });
    (io_threads > most).then(|| {
        format!(
            "{io_threads} I/O threads on {cpus} {noun}: more than two per CPU cost extra wake-ups \
             and context switches; {cpus}, one per CPU, usually handle more messages"
        )
    })
}

/// Starts a thread that handles signals, once it receives the server's handle, until the process
/// ends.
fn handle_signals(
    signals: Signals,
    status: Arc<Status>,
    logger: Logger,
    drain_delay: Duration,
) -> io::Result<()> {
    let run = move || {
        let server = &status.wait().server;
        let mut is_draining = false;
        while let Ok(signal) = signals.wait() {
            match signal {
                Signal::Hangup => service::notify_reload(|| logger.reopen(OUTPUT_TIMEOUT)),
                Signal::User1 => counters::log_counters(server.stats(), logger.dropped()),
                Signal::Terminate if is_draining => server.stop(),
                Signal::Terminate => {
                    is_draining = true;
                    status.begin_draining();
                    service::notify_stopping();
                    drain_after(drain_delay, server.clone());
                }
            }
        }
    };
    thread::start("signals".to_owned(), 1, run).map(drop)
}

/// Drains the server, which goes on accepting and serving for that long. This does not wait.
fn drain_after(delay: Duration, server: Handle) {
    if delay.is_zero() {
        return drain(&server);
    }
    log::info!(
        "draining in {delay:?}: connections are accepted until then, a second signal stops at once"
    );
    let timer = server.clone();
    let run = move || {
        sleep(delay);
        drain(&timer);
    };
    if let Err(error) = thread::start("drain-delay".to_owned(), 1, run) {
        log::warn!("{error}, and so the server drains now");
        drain(&server);
    }
}

fn drain(server: &Handle) {
    log::info!("draining: what has arrived is answered, a second signal stops at once");
    server.drain();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_two_threads_per_cpu_are_warned_of() {
        assert_eq!(too_many_threads(4, 2), None);
        assert_eq!(
            too_many_threads(5, 2).as_deref(),
            Some(
                "5 I/O threads on 2 CPUs: more than two per CPU cost extra wake-ups and context \
                 switches; 2, one per CPU, usually handle more messages"
            )
        );
        assert!(
            too_many_threads(3, 1).is_some_and(|text| text.starts_with("3 I/O threads on 1 CPU:"))
        );
    }
}

//! `server`: the multi-reactor echo server.

mod cli;
mod figures;

use std::io::{self, Write};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use cli::Cli;
use reactor_server::program::limits::{give_memory_back, raise_descriptor_limit};
use reactor_server::program::logger::Logger;
use reactor_server::program::signals::{Signal, Signals};
use reactor_server::{Config, Echo, Ending, Handle, Server};

fn main() -> ExitCode {
    let cli = Cli::parse().check().unwrap_or_else(|error| error.exit());
    match run(&cli) {
        Ok(Ending::Drained) => ExitCode::SUCCESS,
        Ok(Ending::Forced) => ExitCode::FAILURE,
        Err(error) => {
            // Nothing is left to be done if nobody can be told.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<Ending> {
    give_memory_back();
    let signals = Signals::block().context("cannot block signals")?;
    let log_file = cli.log_file.as_deref();
    let logger = Logger::start(log_file).with_context(|| match log_file {
        Some(path) => format!("cannot write the log to {}", path.display()),
        None => "cannot start the log".to_owned(),
    })?;
    // A panic is a line of the log as well: writing it to a pipe could block.
    std::panic::set_hook(Box::new(|panic| log::error!("{panic}")));
    let server = bind(cli)?;
    let handle = server.handle();
    obey(signals, handle.clone(), logger.clone()).context("cannot start a thread")?;
    let ending = server.run();
    figures::log_summary(handle.stats(), logger.dropped());
    logger.flush(Duration::from_secs(1));
    Ok(ending?)
}

fn bind(cli: &Cli) -> anyhow::Result<Server<Echo>> {
    if let Err(error) = raise_descriptor_limit() {
        log::warn!("the limit of open descriptors stays as it is: {error}");
    }
    let config = cli.config();
    let Config { address, io_threads, workers, max_connections, .. } = config;
    let server = Server::bind(config, cli.handler())
        .with_context(|| format!("cannot listen on {address}"))?;
    let (address, most) = (server.local_addr(), server.max_connections());
    if max_connections.is_some_and(|wanted| most < wanted) {
        log::warn!("the limit of open descriptors (ulimit -n) allows {most} connections, not more");
    }
    log::info!(
        "listening on {address} io-threads={io_threads} workers={workers} framing={} \
         max-connections={most} pid={}",
        cli.framing(),
        std::process::id(),
    );
    if cli.asks_for_any_port() {
        // Who asks for any port may not read it, but who reads it gets it at once.
        let _ = writeln!(io::stdout(), "listening on {address}");
    }
    Ok(server)
}

/// Has the server do what signals ask for, from now until the process ends.
fn obey(signals: Signals, server: Handle, logger: Logger) -> io::Result<()> {
    let mut draining = false;
    let mut obey = move |signal| match signal {
        Signal::Hangup => logger.reopen(),
        Signal::User1 => figures::log_counters(server.stats(), logger.dropped()),
        Signal::Terminate if draining => server.stop(),
        Signal::Terminate => {
            draining = true;
            log::info!("draining: what has arrived is answered, a second signal stops at once");
            server.drain();
        }
    };
    let listen = move || signals_of(&signals).for_each(&mut obey);
    thread::Builder::new().name("signals".to_owned()).spawn(listen).map(drop)
}

fn signals_of(signals: &Signals) -> impl Iterator<Item = Signal> + '_ {
    std::iter::from_fn(|| signals.wait().ok())
}

//! The flags that ask for the cost of a server.

use clap::Args;

use super::load::RESULTS;
use crate::admin_page::AdminPage;
use crate::meter::CostSource;

/// Where the cost of one server is read.
#[derive(Debug, Clone, Args)]
pub(super) struct CostArgs {
    /// Report CPU, memory and balance of a server, by its admin page
    ///
    /// URL is that of `server --admin`: http://127.0.0.1:9100. The server may be on another machine.
    #[arg(long, value_name = "URL", value_parser = AdminPage::parse, env = "CLIENT_SERVER")]
    #[arg(help_heading = RESULTS, conflicts_with = "server_pid")]
    server: Option<AdminPage>,
    /// Report CPU and memory of the server, a process on this machine
    #[arg(long, value_name = "PID", env = "CLIENT_SERVER_PID", help_heading = RESULTS)]
    #[arg(value_parser = clap::value_parser!(i32).range(1..))]
    server_pid: Option<i32>,
}

impl CostArgs {
    pub(super) fn source(&self) -> Option<CostSource> {
        let page = self.server.clone().map(CostSource::Page);
        page.or(self.server_pid.map(CostSource::Process))
    }
}

/// Parses `NAME=PID`.
pub(super) fn process_of(text: &str) -> Result<(String, CostSource), String> {
    let wrong = "expected NAME=PID, such as ours=4711";
    let (name, pid) = text.split_once('=').ok_or(wrong)?;
    let pid = pid.parse().ok().filter(|pid| *pid > 0).ok_or(wrong)?;
    Ok((name.to_owned(), CostSource::Process(pid)))
}

/// Parses `NAME=URL`.
pub(super) fn page_of(text: &str) -> Result<(String, CostSource), String> {
    let wrong = "expected NAME=URL, such as ours=http://127.0.0.1:9100";
    let (name, url) = text.split_once('=').ok_or(wrong)?;
    Ok((name.to_owned(), CostSource::Page(AdminPage::parse(url)?)))
}

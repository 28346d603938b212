//! What the admin server of a server says of it, read over HTTP.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use reactor_server::program::target;

use crate::report::Cpu;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The metrics of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AdminPage {
    url: String,
    /// Whether it is on this machine, as far as the URL tells.
    pub(crate) is_local: bool,
}

/// What they say of one moment.
#[derive(Debug, PartialEq)]
pub(crate) struct Figures {
    pub(crate) cpu: Cpu,
    /// Bytes of resident memory; `None` if the server cannot read them.
    pub(crate) resident: Option<u64>,
    /// By the server since its start.
    pub(crate) received: u64,
    /// Messages handled by each event loop.
    pub(crate) loops: Vec<u64>,
}

impl AdminPage {
    /// Parses `http://HOST:PORT`, with or without the scheme, and the path of the metrics if it is
    /// not `/metrics`.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub(crate) fn parse(text: &str) -> Result<AdminPage, String> {
        if text.starts_with("https://") {
            return Err("the admin server has no TLS: write http://".to_owned());
        }
        let rest = text.strip_prefix("http://").unwrap_or(text);
        let (server, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, Some(_)) = target::host_and_port(server)? else {
            return Err(format!("the port is missing, as in http://{server}:9100"));
        };
        let path = if ["", "/"].contains(&path) { "/metrics" } else { path };
        let is_local =
            host.ip().map_or(server.starts_with("localhost:"), |ip: IpAddr| ip.is_loopback());
        Ok(AdminPage { url: format!("http://{server}{path}"), is_local })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// # Errors
    /// Nobody answers there, or what answers is not the admin server, or it has no CPU time.
    pub(crate) fn read(&self) -> anyhow::Result<Figures> {
        let agent = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).proxy(None);
        let agent: ureq::Agent = agent.build().into();
        let answer = agent.get(&self.url).call().and_then(|it| it.into_body().read_to_string());
        let text = answer.with_context(|| format!("cannot read {}", self.url))?;
        ensure!(
            text.contains("\nreactor_build_info{"),
            "{} has no reactor_build_info: it is no admin server",
            self.url
        );
        let figures = Figures::of(&text);
        figures.with_context(|| format!("the server of {} cannot read its CPU time", self.url))
    }
}

impl Figures {
    fn of(metrics: &str) -> Option<Figures> {
        let value = |name: &str| {
            let mut values = metrics.lines().filter_map(|line| line.strip_prefix(name));
            values.find_map(|rest| rest.strip_prefix(' ')?.trim().parse::<f64>().ok())
        };
        let cpu = |mode: &str| value(&format!("reactor_cpu_seconds_total{{mode=\"{mode}\"}}"));
        let messages =
            |number: usize| value(&format!("reactor_loop_messages_total{{loop=\"{number}\"}}"));
        Some(Figures {
            received: value("reactor_received_bytes_total").unwrap_or_default() as u64,
            cpu: Cpu { user: cpu("user")?, system: cpu("system")? },
            resident: value("process_resident_memory_bytes").map(|bytes| bytes as u64),
            loops: (0..).map_while(messages).map(|messages| messages as u64).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_may_lack_its_scheme_and_its_path_but_not_its_port() {
        let url = |text: &str| AdminPage::parse(text).map(|page| page.url);
        for text in ["http://h:9100", "http://h:9100/", "h:9100", "h:9100/metrics"] {
            assert_eq!(url(text).as_deref(), Ok("http://h:9100/metrics"), "{text}");
        }
        assert_eq!(url("[::1]:1/x").as_deref(), Ok("http://[::1]:1/x"));
        assert!(url("http://h/metrics").is_err_and(|it| it.contains("as in http://h:9100")));
        assert!(url("https://h:1").is_err_and(|it| it.contains("no TLS")));
        assert!(url("ftp://h:1").is_err() && url("").is_err());
    }

    #[test]
    fn what_is_not_there_is_not_known() {
        let cpu = "reactor_cpu_seconds_total{mode=\"user\"} 1.5\n\
                   reactor_cpu_seconds_total{mode=\"system\"} 2\n";
        let others = "reactor_loop_messages_total{loop=\"0\"} 7\n\
                     reactor_loop_messages_total{loop=\"1\"} 8\n\
                     reactor_received_bytes_total 9\n";
        let known = Figures::of(&format!("{cpu}{others}")).expect("figures");
        let (cpu, loops) = (Cpu { user: 1.5, system: 2.0 }, vec![7, 8]);
        assert_eq!(known, Figures { cpu, resident: None, received: 9, loops });
        assert_eq!(Figures::of(others), None);
    }
}

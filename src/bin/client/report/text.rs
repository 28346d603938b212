//! The results as text.

use std::fmt::Write;

use reactor_server::program::printable::printable;

use super::cost::{Cpu, ServerCost};
use super::distribution::Distribution;
use super::report::Report;

/// The fewest connections whose memory is reported. With fewer, the rounding to pages
/// dominates.
const MIN_CONNECTIONS: u64 = 1000;
/// Beyond this share of a CPU a thread of the client may be the bottleneck.
const BUSY: f64 = 0.9;
/// Beyond this share of all CPUs client and server may lack what the other uses.
const BUSY_TOGETHER: f64 = 0.5;
/// In a shorter run, what the client does before and after it dominates its CPU time.
const MIN_SECONDS: f64 = 0.1;

/// The results as text, with a name in front of each line.
pub(crate) fn render(report: &Report, percentiles: &[f64]) -> String {
    let mut text = String::new();
    let mut line = |name: &str, line: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", printable(&format!("{name:<9} {line}")));
    };
    line(&heading(report), &plan(report));
    line("opened", &connections(report));
    line("messages", &messages(report));
    line("bytes", &format!("{} sent, {} received", report.bytes_sent, report.bytes_received));
    line("latency", basis(report));
    line("", &latency(&report.histogram, percentiles));
    if let Some(raw) = &report.histogram_raw {
        line("", "from when it was sent (raw)");
        line("", &latency(raw, percentiles));
    }
    for (whose, cost) in costs(report) {
        line(whose, &cost);
    }
    for error in errors(report) {
        line("error", &error);
    }
    for note in notes(report) {
        line("note", &note);
    }
    text
}

/// The errors and mismatches, with how often each occurred.
pub(crate) fn errors(report: &Report) -> Vec<String> {
    report.error_texts.iter().map(|(text, times)| format!("{times} x {text}")).collect()
}

/// What is wrong with results without messages.
pub(crate) fn no_reply(report: &Report) -> &'static str {
    match report.plan.shape.warmup_seconds {
        0.0 => "no message was answered",
        _ => "no message was answered after the warm-up",
    }
}

/// How many connections, and of how many clients.
pub(crate) fn heading(report: &Report) -> String {
    let interrupted = if report.interrupted { "interrupted: " } else { "" };
    let clients = match report.clients() {
        1 => String::new(),
        clients => format!("{clients} clients, "),
    };
    format!("{interrupted}{clients}{} connections", report.connections.requested)
}

/// The plan, in words.
pub(crate) fn plan(report: &Report) -> String {
    let (plan, each) = (&report.plan.shape, if report.clients() > 1 { " each" } else { "" });
    let mut text = match &report.plan.targets[..] {
        [target] => format!("to {target}: "),
        targets => format!("to {} servers: ", targets.len()),
    };
    text.push_str(&match plan.rate {
        Some(rate) => format!("open loop, {rate} per second{each}"),
        None => "closed loop".to_owned(),
    });
    let _ = write!(
        text,
        ", {}, {} B, pipeline {}, verify {}",
        plan.framing, plan.size, plan.pipeline, plan.verify
    );
    if plan.close != "fin" {
        let _ = write!(text, ", close {}", plan.close);
    }
    if let Some(every) = plan.reconnect_every {
        let _ = write!(text, ", reconnect every {every}");
    }
    if let Some(hold) = plan.hold_seconds {
        let _ = write!(text, ", hold {hold} s");
    }
    text
}

fn connections(report: &Report) -> String {
    let connections = &report.connections;
    let mut text = connections.opened.to_string();
    if connections.opened != connections.requested {
        let _ = write!(text, " of {}", connections.requested);
    }
    let _ = write!(text, " in {:.3} s, {} failed", connections.seconds, connections.failed);
    if connections.reopened > 0 {
        let _ = write!(text, "; {} to replace others", connections.reopened);
    }
    if report.not_closed > 0 {
        let _ = write!(text, "; {} not closed by the server", report.not_closed);
    }
    for (reason, times) in &connections.failures {
        let _ = write!(text, "; {times} x {reason}");
    }
    text
}

fn messages(report: &Report) -> String {
    let mut text = format!(
        "{} in {:.3} s, {:.0} per second, {} mismatches, {} errors",
        report.messages,
        report.seconds,
        report.rate(),
        report.mismatches,
        report.errors
    );
    if report.plan.shape.rate.is_some() {
        let _ = write!(text, ", {} not sent in time", report.unsent);
    }
    text
}

/// What the latency is measured from.
pub(crate) fn basis(report: &Report) -> &'static str {
    match report.histogram_raw {
        Some(_) => "from when a message was due (open loop, corrected)",
        None => "service time, not corrected (closed loop)",
    }
}

fn latency(latency: &Distribution, percentiles: &[f64]) -> String {
    if latency.is_empty() {
        return "no reply arrived".to_owned();
    }
    let mut text = String::new();
    for &percentile in percentiles {
        let _ = write!(text, "p{percentile} {:.1} us  ", latency.percentile(percentile));
    }
    let _ = write!(text, "max {:.1} us  mean {:.1} us", latency.max(), latency.mean());
    text
}

/// The costs of client and server.
pub(crate) fn costs(report: &Report) -> Vec<(&'static str, String)> {
    if report.messages == 0 {
        return Vec::new();
    }
    let cpu = |cpu: Cpu| per_message(cpu.per_message(report.messages));
    let server = |cost: &ServerCost| ("server", cpu(cost.cpu()) + &memory(report, cost));
    let mut costs = Vec::new();
    costs.extend(report.client_cpu.map(|client| ("client", cpu(client))));
    costs.extend(report.server_cost().map(server));
    costs
}

fn per_message(cpu: Cpu) -> String {
    let (total, user, system) = (cpu.total(), cpu.user, cpu.system);
    format!("{total:.2} us of CPU per message (user {user:.2}, system {system:.2})")
}

fn memory(report: &Report, cost: &ServerCost) -> String {
    match (cost.bytes_per_connection.own, cost.bytes_per_connection.kernel) {
        _ if report.connections.opened < MIN_CONNECTIONS => String::new(),
        (Some(own), Some(kernel)) => {
            let (own, kernel) = (bytes(own), bytes(kernel));
            format!("; memory per connection {own}, and {kernel} in the kernel")
        }
        (Some(own), None) => format!("; memory per connection {}", bytes(own)),
        (None, _) => String::new(),
    }
}

/// Memory that did not grow was reused, so that the share of a connection is not known.
fn bytes(each: f64) -> String {
    if each < 0.5 { "n/a".to_owned() } else { format!("{each:.0} B") }
}

/// Notes on what limits the validity of the figures.
pub(crate) fn notes(report: &Report) -> Vec<String> {
    let mut notes = Vec::new();
    let used =
        |cpu: Cpu| if report.seconds < MIN_SECONDS { 0.0 } else { cpu.total() / report.seconds };
    // A server whose cost is not known is taken to use as much as the client.
    let client = report.client_cpu.unwrap_or_default();
    let server = report.server_cost().map_or(client, ServerCost::cpu);
    let share = used(client.plus(server)) / report.environment.cpus as f64;
    if report.environment.shares_cpus && share > BUSY_TOGETHER {
        notes.push(format!(
            "client and server share {} CPUs: each lacks what the other uses",
            report.environment.cpus
        ));
    }
    let busy = used(client) / report.plan.threads as f64;
    if busy > BUSY {
        notes.push(format!(
            "the client's threads were busy {:.0} % of the time: it may be the bottleneck",
            100.0 * busy.min(1.0)
        ));
    }
    if report.unsent > 0 {
        notes.push(format!(
            "{} of the messages that were due were not sent in time, and are in no percentile: \
             the load was lower than planned",
            report.unsent
        ));
    }
    if report.not_closed > 0 {
        notes.push(format!(
            "{} connections were not closed by the server within a second after their last \
             reply; --close strict makes that an error",
            report.not_closed
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::sample::{accepted, read, results};
    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn text_shows_characters_and_numbers_whatever_the_files_hold(reports in accepted()) {
            for report in reports {
                let text = render(&report, &[50.0]);
                let is_plain = !text.contains(['\x1b', '\u{202e}']);
                prop_assert!(is_plain && !text.contains("NaN"), "{}", text);
            }
        }
    }

    #[test]
    fn memory_that_was_reused_is_not_zero_bytes_per_connection() {
        let memory_of = |own: f64, kernel: Option<f64>| {
            let mut json = results(1);
            json["connections"]["opened"] = 2000.into();
            json["server"]["bytes_per_connection"] = json!({ "own": own, "kernel": kernel });
            let (_, cost) = costs(&read(json).expect("results")).pop().expect("the server's");
            cost.split_once("; ").expect("memory").1.to_owned()
        };
        assert_eq!(memory_of(0.0, None), "memory per connection n/a");
        let both = "memory per connection 118 B, and n/a in the kernel";
        assert_eq!(memory_of(118.2, Some(0.0)), both);
    }

    #[test]
    fn a_note_on_cpus_needs_a_run_that_is_long_and_uses_them() {
        let notes_of = |seconds: f64, client: f64, server: Option<f64>| {
            let mut json = results(1);
            json["seconds"] = seconds.into();
            json["client"]["user"] = (client - 0.1).into();
            json["server"] = json!(null);
            if let Some(server) = server {
                json["server"] = results(1)["server"].clone();
                json["server"]["processes"]["1 on h"]["user"] = (server - 0.1).into();
            }
            let notes = notes(&read(json).expect("results"));
            ["share 2 CPUs", "be the bottleneck"]
                .map(|it| notes.iter().any(|note| note.contains(it)))
        };
        assert_eq!(notes_of(1.0, 0.95, None), [true, true]);
        assert_eq!(notes_of(1.0, 0.6, None), [true, false]);
        assert_eq!(notes_of(1.0, 0.2, Some(1.0)), [true, false]);
        assert_eq!(notes_of(1.0, 0.2, None), [false, false]);
        assert_eq!(notes_of(0.01, 0.2, None), [false, false]);
    }
}

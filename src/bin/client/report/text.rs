//! The results as text.

use std::fmt::Write;

use reactor_server::program::printable::printable;

use super::cost::{Cpu, ServerCost};
use super::distribution::Distribution;
pub(crate) use super::notes::notes;
use super::report::Report;
use crate::readable::{self, counted};

/// The fewest connections whose memory is reported. With fewer, the rounding to pages
/// dominates.
const MIN_CONNECTIONS: u64 = 1000;

/// The results as text, with a name in front of each line.
pub(crate) fn render(report: &Report, percentiles: &[f64]) -> String {
    let mut text = String::new();
    let mut line = |name: &str, line: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", printable(&format!("{name:<9} {line}")));
    };
    if no_connection_opened(report) {
        errors(report).iter().for_each(|it| line("error", &format!("{}: {it}", target(report))));
        return text;
    }
    line(&heading(report), &plan(report));
    line("opened", &connections(report));
    if let Some(times) = &report.connect_histogram {
        line("connect", &connect(times));
    }
    line("messages", &messages(report));
    for (name, outages) in outages(report) {
        line(name, &outages);
    }
    line("bytes", &bytes(report));
    line("latency", if report.histogram_raw.is_some() { CORRECTED_AND_RAW } else { basis(report) });
    latency(report, percentiles).iter().for_each(|row| line("", row));
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
    let errors = report.error_texts.iter();
    errors.map(|(text, times)| format!("{} x {text}", readable::count(*times))).collect()
}

/// Whether the errors say all that there is to say.
fn no_connection_opened(report: &Report) -> bool {
    let connections = &report.connections;
    let have_all_failed = connections.opened == 0 && connections.failed >= connections.requested;
    have_all_failed && !report.error_texts.is_empty() && !report.interrupted
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
    let requested = counted(report.connections.requested, "connection", "connections");
    format!("{interrupted}{clients}{requested}")
}

fn target(report: &Report) -> String {
    match &report.plan.targets[..] {
        [target] => target.clone(),
        targets => format!("{} servers", targets.len()),
    }
}

/// The plan, in words.
pub(crate) fn plan(report: &Report) -> String {
    plan_of(report, &kind(report))
}

/// The plan, with these words for its loop.
pub(crate) fn plan_of(report: &Report, kind: &str) -> String {
    let shape = shape_of(report, kind);
    format!("to {}: {shape}", target(report))
}

/// The plan without its servers, in words.
pub(crate) fn shape(report: &Report) -> String {
    shape_of(report, &kind(report))
}

fn kind(report: &Report) -> String {
    match report.plan.shape.rate {
        Some(rate) => {
            let each = if report.clients() > 1 { " each" } else { "" };
            format!("open loop, {} per second{each}", readable::count(rate))
        }
        None if report.plan.shape.stream => "stream".to_owned(),
        None => "closed loop".to_owned(),
    }
}

fn shape_of(report: &Report, kind: &str) -> String {
    let plan = &report.plan.shape;
    let mut text = kind.to_owned();
    if plan.arrival != "uniform" {
        let _ = write!(text, ", {} arrivals", plan.arrival);
    }
    let _ = write!(
        text,
        ", {}, {} B, pipeline {}, verify {}",
        plan.framing, plan.size, plan.pipeline, plan.verify
    );
    if let (Some(seconds), Some(spread)) = (plan.think_seconds, &plan.think_spread) {
        let _ = write!(text, ", think {seconds} s {spread}");
    }
    if let Some(payload) = &plan.payload {
        let _ = write!(text, ", payload {payload}");
    }
    if plan.close != "fin" {
        let _ = write!(text, ", close {}", plan.close);
    }
    if plan.on_error != "stop" {
        let _ = write!(text, ", on error {}", plan.on_error);
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
    let mut text = readable::count(connections.opened);
    if connections.opened != connections.requested {
        let _ = write!(text, " of {}", readable::count(connections.requested));
    }
    let failed = readable::count(connections.failed);
    let _ = write!(text, " in {:.3} s, {failed} failed", connections.seconds);
    if connections.reopened > 0 {
        let _ = write!(text, "; {} to replace others", readable::count(connections.reopened));
    }
    if report.not_closed > 0 {
        let _ = write!(text, "; {} not closed by the server", readable::count(report.not_closed));
    }
    for (reason, times) in &connections.failures {
        let _ = write!(text, "; {} x {reason}", readable::count(*times));
    }
    text
}

fn messages(report: &Report) -> String {
    let mut text = readable::count(report.messages);
    if let Some(planned) = report.planned_messages().filter(|&it| it > report.messages) {
        let _ = write!(text, " of {}", readable::count(planned));
    }
    let _ = write!(
        text,
        " in {:.3} s, {} per second, {}, {}",
        report.seconds,
        readable::number(report.rate()),
        counted(report.mismatches, "mismatch", "mismatches"),
        counted(report.errors, "error", "errors")
    );
    if report.plan.shape.rate.is_some() {
        let _ = write!(text, ", {} not sent in time", readable::count(report.unsent));
    }
    text
}

fn bytes(report: &Report) -> String {
    let (sent, received) = (report.bytes_sent, report.bytes_received);
    let (sent, received) = (readable::count(sent), readable::count(received));
    let mut text = format!("{sent} sent, {received} received");
    if report.plan.shape.stream {
        let _ = write!(text, ", {:.1} MB per second", report.bytes_per_second() / 1e6);
    }
    text
}

/// What the two columns of an open loop are measured from.
const CORRECTED_AND_RAW: &str =
    "from when a message was due (corrected) and from when it was sent (raw)";

/// How long connections took to open, in a line.
fn connect(times: &Distribution) -> String {
    if times.is_empty() {
        return "no connection was opened".to_owned();
    }
    let [p50, p90, p99] = [50.0, 90.0, 99.0].map(|it| readable::micros(times.percentile(it)));
    let (max, mean) = (readable::micros(times.max()), readable::micros(times.mean()));
    format!("p50 {p50}, p90 {p90}, p99 {p99}, max {max}, mean {mean}")
}

/// How often connections were lost, for how long, when and why.
pub(crate) fn outages(report: &Report) -> Vec<(&'static str, String)> {
    let outages = &report.outages;
    let Some((p50, (began, ended))) = outages.p50_seconds().zip(outages.began.zip(outages.ended))
    else {
        return Vec::new();
    };
    let [p50, max, total] = [p50, outages.max_seconds, outages.total_seconds]
        .map(|seconds| readable::micros(seconds * 1e6));
    let over = match outages.count - outages.reconnects {
        0 if outages.count == 1 => "it is over".to_owned(),
        0 => "all are over".to_owned(),
        left => format!("{} not over at the end", readable::count(left)),
    };
    let count = readable::count(outages.count);
    let [began, ended] = [began, ended].map(|moment| moment - report.timeline.began);
    let unanswered = counted(report.unanswered, "message", "messages");
    let mut lines = vec![
        ("outages", format!("{count}, p50 {p50}, max {max}, total {total}, {over}")),
        ("", format!("from {began:.3} s to {ended:.3} s after the start; {unanswered} unanswered")),
    ];
    let reasons = outages.reasons.iter();
    lines.extend(
        reasons.map(|(reason, times)| ("", format!("{} x {reason}", readable::count(*times)))),
    );
    lines
}

/// What the latency is measured from.
pub(crate) fn basis(report: &Report) -> &'static str {
    match report.histogram_raw {
        Some(_) => "from when a message was due (open loop, corrected)",
        None if report.plan.shape.stream => "of a block, from when it was sent (stream)",
        None => "service time, not corrected (closed loop)",
    }
}

/// The latencies, one in a line. In an open loop they are in two columns.
fn latency(report: &Report, percentiles: &[f64]) -> Vec<String> {
    if report.histogram.is_empty() {
        return vec!["no reply arrived".to_owned()];
    }
    let columns: Vec<_> = [&report.histogram].into_iter().chain(&report.histogram_raw).collect();
    let row = |name: &str, figure: &dyn Fn(&Distribution) -> String| {
        let figures = columns.iter().map(|column| format!(" {:>10}", figure(column)));
        format!("{name:<8}{}", figures.collect::<String>())
    };
    let latency = |name: &str, of: &dyn Fn(&Distribution) -> f64| {
        row(name, &|column| readable::micros(of(column)))
    };
    let mut rows = Vec::new();
    if columns.len() > 1 {
        rows.push(format!("{:<8} {:>10} {:>10}", "", "corrected", "raw"));
    }
    rows.extend(percentiles.iter().map(|percentile| {
        latency(&format!("p{percentile}"), &|column| column.percentile(*percentile))
    }));
    rows.push(latency("max", &Distribution::max));
    rows.push(latency("mean", &Distribution::mean));
    rows
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
    costs.extend(report.server_cost().and_then(balance).map(|text| ("balance", text)));
    costs
}

/// How evenly the event loops of the server shared the messages, if that is known.
fn balance(cost: &ServerCost) -> Option<String> {
    let (least, most) = (cost.loops.iter().min()?, cost.loops.iter().max()?);
    let (count, least, most) = (cost.loops.len(), readable::count(*least), readable::count(*most));
    Some(match count {
        1 => format!("1 event loop: {most} messages"),
        _ => format!("{count} event loops: {least} to {most} messages each"),
    })
}

fn per_message(cpu: Cpu) -> String {
    let (total, user, system) = (cpu.total(), cpu.user, cpu.system);
    format!("{total:.2} us of CPU per message (user {user:.2}, system {system:.2})")
}

fn memory(report: &Report, cost: &ServerCost) -> String {
    match (cost.bytes_per_connection.own, cost.bytes_per_connection.kernel) {
        _ if report.connections.opened < MIN_CONNECTIONS => String::new(),
        (Some(own), Some(kernel)) => {
            let (own, kernel) = (share(own), share(kernel));
            format!("; memory per connection {own}, and {kernel} in the kernel")
        }
        (Some(own), None) => format!("; memory per connection {}", share(own)),
        (None, _) => String::new(),
    }
}

/// Memory that did not grow was reused, so that the share of a connection is not known.
fn share(each: f64) -> String {
    if each < 0.5 { "n/a".to_owned() } else { format!("{each:.0} B") }
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
}

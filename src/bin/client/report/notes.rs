//! Notes on what limits the validity of the figures.

use super::cost::{Cpu, ServerCost};
use super::report::Report;
use crate::readable;

/// Beyond this share of a CPU a thread of the client may be the bottleneck.
const BUSY: f64 = 0.9;
/// Beyond this share of all CPUs client and server may lack what the other uses.
const BUSY_TOGETHER: f64 = 0.5;
/// In a shorter run, what the client does before and after it dominates its CPU time.
const MIN_SECONDS: f64 = 0.1;

/// Notes on what limits the validity of the figures.
pub(crate) fn notes(report: &Report) -> Vec<String> {
    let mut notes = Vec::new();
    let span = report.cpu_span_seconds.unwrap_or(report.seconds);
    let used = |cpu: Cpu| if span < MIN_SECONDS { 0.0 } else { cpu.total() / span };
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
    if let Some(seconds) = report.ended_early_seconds {
        notes.push(format!(
            "no connection was left after {seconds:.3} s; the rate is that of all {:.3} s",
            report.seconds
        ));
    }
    if report.unanswered > 0 {
        notes.push(readable::counted(
            report.unanswered,
            "message had no verified reply, because its connection failed, and is in no percentile",
            "messages had no verified reply, because their connection failed, and are in no \
             percentile",
        ));
    }
    if report.unsent > 0 {
        notes.push(format!(
            "{}: the load was lower than planned",
            readable::counted(
                report.unsent,
                "of the messages that were due was not sent in time, and is in no percentile",
                "of the messages that were due were not sent in time, and are in no percentile",
            )
        ));
    }
    if report.not_closed > 0 {
        notes.push(format!(
            "{}; --close strict makes that an error",
            readable::counted(
                report.not_closed,
                "connection was not closed by the server within a second after its last reply",
                "connections were not closed by the server within a second after their last reply",
            )
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::sample::{read, results};
    use super::*;

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

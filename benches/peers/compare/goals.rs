//! Compares this project's server with its goals, side by side with the others of the same run.

use std::collections::BTreeSet;

use crate::contender::is_ours;
use crate::measurement::Measurement;
use crate::series::Series;
use crate::shape::threads_enough;

/// Ours may take this many times the CPU per echo of the best of the others.
const CPU: f64 = 1.05;
/// System calls per batch of messages that arrive together, or this many times those of the
/// bare loop, which waits more often where fewer arrive at once; and the batch of each shape.
const CALLS: f64 = 2.05;
const MORE_CALLS: f64 = 1.05;
const BATCHES: [(&str, f64); 4] = [("A", 1.0), ("C", 1.0), ("D", 1.0), ("E", 16.0)];
/// The seed's workload, on few threads and on many.
const SEEDS: [&str; 2] = ["seed-2", "seed-32"];
/// Microseconds of the median latency with one connection and busy-polling.
const BUSY_POLLING: f64 = 26.0;
/// Microseconds that a worker may cost, with all on one core and with cores to spare.
const HOP: [(&str, &str, f64); 2] = [("A", "ours-w1", 3.1), ("hop", "ours-w4", 1.8)];
/// Bytes of RSS per connection.
const BYTES: f64 = 150.0;
/// Rates and times closer than this are a tie.
const TIE: f64 = 0.10;
/// How far the rate of many threads may be below that of twice the CPUs.
const THREADS: f64 = 0.05;
/// With each number of threads, the rate of ours over that of the best of the others. Tokio is
/// not among them: it moves connections to threads that are idle.
const NEAR_BEST: f64 = 0.95;
/// The worst placement of a server's threads and its clients, over the median one; or the bare
/// loop's share, if that is lower.
const WORST: f64 = 0.8;

type Field = fn(&Measurement) -> Option<f64>;

/// Everything that was measured.
#[derive(Debug)]
pub(crate) struct Goals<'a> {
    all: &'a [Measurement],
    servers: &'a [&'static str],
}

impl<'a> Goals<'a> {
    pub(crate) fn new(all: &'a [Measurement], servers: &'a [&'static str]) -> Goals<'a> {
        Goals { all, servers }
    }

    /// Prints a line for each goal of which enough was measured.
    pub(crate) fn print(&self, cpus: usize) {
        let mut lines: Vec<String> = Vec::new();
        for shape in ["A", "C", "D", "E"] {
            lines.extend(self.cpu(shape, "ours"));
        }
        lines.extend(self.cpu("A", "ours-len32"));
        lines.extend(BATCHES.iter().filter_map(|&(shape, batch)| self.calls(shape, batch)));
        lines.extend(self.latency());
        lines.extend(self.busy_polling());
        lines.extend(self.rate("F"));
        lines.extend(SEEDS.iter().filter_map(|shape| self.seed(shape)));
        for (group, threads) in self.counts() {
            lines.extend(self.steady(&format!("{group}-{threads}")));
        }
        lines.extend(HOP.iter().filter_map(|hop| self.hop(hop)));
        lines.extend(self.memory());
        lines.extend(self.threads(cpus));
        if lines.is_empty() {
            return;
        }
        println!("\n## Goals\n\n| goal | ours | beside | verdict |\n|---|---|---|---|");
        lines.iter().for_each(|line| println!("{line}"));
    }

    fn series(&self, shape: &'a str, server: &'a str) -> Series<'a> {
        Series::new(self.all, shape, server)
    }

    fn least(&self, shape: &'a str, server: &'a str, field: Field) -> Option<f64> {
        self.series(shape, server).least(field)
    }

    fn median(&self, shape: &'a str, server: &'a str, field: Field) -> Option<f64> {
        self.series(shape, server).median(field)
    }

    /// The others' figures with what they are called, in ascending order.
    fn others(&self, of: impl Fn(&'static str) -> Option<f64>) -> Vec<(f64, &'static str)> {
        let others = self.servers.iter().filter(|name| !is_ours(name));
        let mut figures: Vec<_> =
            others.filter_map(|&name| Some((of(name)?, called(name)))).collect();
        figures.sort_by(|one, other| one.0.total_cmp(&other.0));
        figures
    }

    fn cpu(&self, shape: &'a str, server: &'a str) -> Option<String> {
        let ours = self.least(shape, server, |it| it.cpu)?;
        let others = self.others(|name| self.least(shape, name, |it| it.cpu));
        let &(best, name) = others.first()?;
        Some(line(
            &format!("{shape}: CPU per echo (min) of {server} <= {CPU} x the best"),
            &format!("{ours:.2} us, {:.3} x", ours / best),
            &format!("{name} {best:.2} us"),
            verdict(ours <= CPU * best, false),
        ))
    }

    fn calls(&self, shape: &'a str, batch: f64) -> Option<String> {
        let calls = |server| Some(batch * self.least(shape, server, |it| it.calls)?);
        let (ours, floor) = (calls("ours")?, calls("floor"));
        let most = floor.map_or(CALLS, |floor| CALLS.max(MORE_CALLS * floor));
        Some(line(
            &format!(
                "{shape}: system calls per batch of {batch} <= {CALLS}, or {MORE_CALLS} x the bare loop's"
            ),
            &format!("{ours:.2}"),
            &floor.map_or(String::new(), |floor| format!("bare loop {floor:.2}")),
            // The goal has two digits: a single wait more or less is chance.
            verdict((100.0 * ours).round() <= (100.0 * most).round(), false),
        ))
    }

    fn latency(&self) -> Option<String> {
        let ours = self.median("B", "ours", |it| it.p50)?;
        let others = self.others(|name| self.median("B", name, |it| it.p50));
        let &(best, name) = others.first()?;
        Some(line(
            "B: p50 (median) no worse than the best",
            &format!("{ours:.1} us"),
            &format!("{name} {best:.1} us"),
            verdict(ours <= best, ours <= best * (1.0 + TIE)),
        ))
    }

    fn busy_polling(&self) -> Option<String> {
        let ours = self.median("B", "ours-busy", |it| it.p50)?;
        let goal = format!("B: p50 (median) with busy-polling <= {BUSY_POLLING} us");
        Some(line(&goal, &format!("{ours:.1} us"), "", verdict(ours <= BUSY_POLLING, false)))
    }

    fn rate(&self, shape: &'a str) -> Option<String> {
        let ours = self.median(shape, "ours", |it| it.rate)?;
        let others = self.others(|name| self.median(shape, name, |it| it.rate));
        let &(best, name) = others.last()?;
        Some(rates(&format!("{shape}: rate (median) >= the best"), ours, name, best))
    }

    fn seed(&self, shape: &'a str) -> Option<String> {
        let ours = self.median(shape, "ours", |it| it.rate)?;
        // The better of its two, with few threads or with many.
        let go = |shape| self.median(shape, "go", |it| it.rate);
        let go = SEEDS.into_iter().filter_map(go).max_by(f64::total_cmp)?;
        Some(rates(
            &format!("{shape}: faster than Go with 2 or 32 threads (median)"),
            ours,
            "go",
            go,
        ))
    }

    /// The numbers of threads that were measured, by group.
    fn counts(&self) -> Vec<(&'static str, usize)> {
        let group = |it: &Measurement| {
            let group = it.shape.split('-').next()?;
            ["seed", "threads"].into_iter().find(|&name| name == group)
        };
        let counts = self.all.iter().filter_map(|it| Some((group(it)?, it.threads)));
        counts.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Whether ours has no cliff with this number of threads: one line with all that misses, and
    /// by how much.
    fn steady(&self, shape: &str) -> Option<String> {
        let of = |server: &'static str| Series::new(self.all, shape, server);
        let (ours, floor, go) = (of("ours"), of("floor"), of("go"));
        let rate = ours.median(|it| it.rate)?;
        let rates = |name| (name != "tokio").then(|| of(name).median(|it| it.rate))?;
        let &(best, name) = self.others(rates).last()?;
        let worse = |field: Field, is_worse: fn(f64, f64) -> f64| {
            let both = [floor.median(field), go.median(field)];
            both.into_iter().flatten().reduce(is_worse)
        };
        let steadiness =
            |series: &Series<'_>| ratio(series.least(|it| it.rate), series.median(|it| it.rate));
        let steady_enough = steadiness(&floor).map_or(WORST, |floor| floor.min(WORST));
        // How many times better ours would have to be.
        let short = [
            ("rate of the bare loop", ratio(floor.median(|it| it.rate), Some(rate))),
            ("CPU of the bare loop", ratio(ours.median(|it| it.cpu), floor.median(|it| it.cpu))),
            ("rate of the best", Some(NEAR_BEST * best / rate)),
            ("worst run", ratio(Some(steady_enough), steadiness(&ours))),
            ("fairness", ratio(worse(|it| it.fairness, f64::min), ours.median(|it| it.fairness))),
            ("p99", ratio(ours.median(|it| it.p99), worse(|it| it.p99, f64::max))),
        ];
        let short = short.into_iter().filter_map(|(what, times)| Some((what, times?)));
        let short: Vec<_> = short.filter(|&(_, times)| times > 1.0).collect();
        let by: Vec<_> = short.iter().map(|(what, times)| format!("{what} {times:.2} x")).collect();
        let is_tie = short.iter().all(|&(_, times)| times <= 1.0 + TIE);
        let verdict = match verdict(short.is_empty(), is_tie) {
            verdict if short.is_empty() => verdict.to_owned(),
            verdict => format!("{verdict}: {}", by.join(", ")),
        };
        Some(line(
            &format!("{shape}: no cliff"),
            &format!("{:.1} k/s, {:.2} x", rate / 1e3, rate / best),
            &format!("{name} {:.1} k/s", best / 1e3),
            &verdict,
        ))
    }

    fn hop(&self, &(shape, server, goal): &(&'static str, &'static str, f64)) -> Option<String> {
        let inline = self.least(shape, "ours", |it| it.cpu)?;
        let worker = self.least(shape, server, |it| it.cpu)?;
        let how = if shape == "A" { "on one core" } else { "unpinned" };
        Some(line(
            &format!("hop to a worker ({server}, {how}) <= {goal} us of CPU (min)"),
            &format!("{:+.2} us", worker - inline),
            &format!("inline {inline:.2} us"),
            verdict(worker - inline <= goal, false),
        ))
    }

    fn memory(&self) -> Option<String> {
        let idle = self.median("memory", "ours", |it| it.idle)?;
        let used = self.median("memory", "ours", |it| it.used)?;
        Some(line(
            &format!("memory per connection <= {BYTES} B, idle and after an echo"),
            &format!("{idle:.0} B, {used:.0} B"),
            "",
            verdict(idle <= BYTES && used <= BYTES, false),
        ))
    }

    fn threads(&self, cpus: usize) -> Option<String> {
        let enough = threads_enough(cpus);
        let rate = |threads: usize| {
            let shape = format!("threads-{threads}");
            Series::new(self.all, &shape, "ours").median(|it| it.rate)
        };
        let (many, few) = (rate(64)?, rate(enough)?);
        Some(line(
            &format!("64 threads within {:.0} % of {enough} (median)", 100.0 * THREADS),
            &format!("{:.1} k/s, {:+.1} %", many / 1e3, 100.0 * (many / few - 1.0)),
            &format!("{enough} threads {:.1} k/s", few / 1e3),
            verdict(many >= few * (1.0 - THREADS), many >= few * (1.0 - TIE)),
        ))
    }
}

/// What the goals call a server.
fn called(server: &'static str) -> &'static str {
    if server == "floor" { "bare loop" } else { server }
}

fn ratio(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    Some(one? / other?)
}

fn rates(goal: &str, ours: f64, name: &str, best: f64) -> String {
    line(
        goal,
        &format!("{:.1} k/s, {:.2} x", ours / 1e3, ours / best),
        &format!("{name} {:.1} k/s", best / 1e3),
        verdict(ours >= best, ours >= best * (1.0 - TIE)),
    )
}

fn line(goal: &str, ours: &str, beside: &str, verdict: &str) -> String {
    format!("| {goal} | {ours} | {beside} | {verdict} |")
}

/// The verdict of one run. A goal missed by less than runs differ is a tie.
fn verdict(is_met: bool, is_tie: bool) -> &'static str {
    match (is_met, is_tie) {
        (true, _) => "met",
        (false, true) => "tie",
        (false, false) => "**missed**",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(shape: &str, server: &'static str, cpu: f64) -> Measurement {
        let shape = shape.to_owned();
        Measurement { shape, server, cpu: Some(cpu), ..Measurement::default() }
    }

    #[test]
    fn ours_is_compared_with_the_best_of_the_others_and_not_with_its_variants() {
        let all = [
            of("A", "ours", 5.3),
            of("A", "ours-len32", 1.0),
            of("A", "go", 7.0),
            of("A", "floor", 5.2),
        ];
        let servers = ["ours", "ours-len32", "go", "floor"];
        let goals = Goals::new(&all, &servers);
        let line = goals.cpu("A", "ours").expect("a verdict");
        assert!(line.contains("bare loop 5.20 us") && line.ends_with("| met |"), "{line}");
        assert_eq!(goals.cpu("C", "ours"), None);
    }

    #[test]
    fn system_calls_are_limited_by_the_goal_or_by_those_of_the_floor() {
        let of = |server, calls| {
            let shape = "A".to_owned();
            Measurement { shape, server, calls: Some(calls), ..Measurement::default() }
        };
        let is_met = |all: &[Measurement]| {
            let goals = Goals::new(all, &["ours", "floor"]);
            goals.calls("A", 1.0).expect("a verdict").ends_with("| met |")
        };
        assert!(is_met(&[of("ours", 2.054)]) && !is_met(&[of("ours", 2.056)]));
        assert!(is_met(&[of("ours", 2.62), of("floor", 2.5)]));
        assert!(!is_met(&[of("ours", 2.64), of("floor", 2.5)]));
    }

    #[test]
    fn a_cliff_is_named_by_what_it_costs() {
        let of = |server, rate, p99| {
            let (shape, rate, p99) = ("seed-4".to_owned(), Some(rate), Some(p99));
            Measurement { shape, server, threads: 4, rate, p99, ..Measurement::default() }
        };
        let verdict = |all: &[Measurement]| {
            let goals = Goals::new(all, &["ours", "floor", "tokio", "go"]);
            assert_eq!(goals.counts(), [("seed", 4)]);
            goals.steady("seed-4").expect("a verdict")
        };
        let others = [of("floor", 100.0, 9.0), of("tokio", 900.0, 1.0), of("go", 120.0, 5.0)];
        let with = |ours| [&[ours][..], &others].concat();
        assert!(verdict(&with(of("ours", 115.0, 9.0))).ends_with("| met |"));
        let cliff = verdict(&with(of("ours", 90.0, 10.0)));
        let missed = "rate of the bare loop 1.11 x, rate of the best 1.27 x, p99 1.11 x";
        assert!(cliff.ends_with(&format!("| **missed**: {missed} |")), "{cliff}");
        let tie = verdict(&with(of("ours", 113.0, 9.3)));
        assert!(tie.ends_with("| tie: rate of the best 1.01 x, p99 1.03 x |"), "{tie}");
    }

    #[test]
    fn a_goal_without_a_server_to_compare_with_has_no_verdict() {
        let all = [of("A", "ours", 5.3)];
        assert_eq!(Goals::new(&all, &["ours"]).cpu("A", "ours"), None);
    }
}

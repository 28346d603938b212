//! The tables, in Markdown.

use crate::contender::kind;
use crate::measurement::Measurement;
use crate::series::Series;
use crate::shape::Shape;

const CALLS: &str = "
System calls are counted by the kernel (perf), in a run of their own.";

/// Prints all measurements of these shapes.
pub(crate) fn print(shapes: &[&Shape], servers: &[&'static str], all: &[Measurement]) {
    if all.iter().any(|it| it.calls.is_some()) {
        println!("{CALLS}");
    }
    for shape in shapes {
        match shape.group {
            "memory" => print_memory(shape, servers, all),
            "threads" => {}
            _ => print_shape(shape, servers, all),
        }
    }
    let threads: Vec<_> = shapes.iter().copied().filter(|it| it.group == "threads").collect();
    if !threads.is_empty() {
        print_threads(&threads, servers, all);
    }
    print_problems(all);
}

/// A figure, or a dash where there is none.
fn figure(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

fn thousands(value: Option<f64>) -> String {
    figure(value.map(|value| value / 1000.0), 1)
}

/// The series of the servers that were measured under this shape.
fn rows<'a>(
    shape: &'a Shape,
    servers: &'a [&'static str],
    all: &'a [Measurement],
) -> impl Iterator<Item = (&'static str, Series<'a>)> {
    let series = move |&server: &&'static str| (server, Series::new(all, &shape.name, server));
    servers.iter().map(series).filter(|(_, series)| !series.is_empty())
}

fn print_shape(shape: &Shape, servers: &[&'static str], all: &[Measurement]) {
    println!("\n## {}: {}\n", shape.name, shape.title);
    println!(
        "| server | thousands/s median/max | server CPU us per echo median/**min** | \
         p50 us | p99 us | system calls per echo |"
    );
    println!("|---|---|---|---|---|---|");
    for (server, series) in rows(shape, servers, all) {
        println!(
            "| {server} ({}) | {}/{} | {}/**{}** | {} | {} | {} |",
            kind(server),
            thousands(series.median(|it| it.rate)),
            thousands(series.most(|it| it.rate)),
            figure(series.median(|it| it.cpu), 2),
            figure(series.least(|it| it.cpu), 2),
            figure(series.median(|it| it.p50), 1),
            figure(series.median(|it| it.p99), 0),
            figure(series.median(|it| it.calls), 2),
        );
    }
}

fn print_threads(shapes: &[&Shape], servers: &[&'static str], all: &[Measurement]) {
    println!(
        "\n## threads: 30 connections, 24 B, unpinned; thousands/s median (CPU us per echo, min)\n"
    );
    let counts: Vec<String> = shapes.iter().map(|shape| shape.threads.to_string()).collect();
    println!("| server | {} |", counts.join(" | "));
    println!("|---|{}", "---|".repeat(counts.len()));
    for server in servers {
        let all: Vec<_> =
            shapes.iter().map(|shape| Series::new(all, &shape.name, server)).collect();
        if all.iter().all(Series::is_empty) {
            continue;
        }
        let cells = all.iter().map(|series| {
            let rate = thousands(series.median(|it| it.rate));
            format!("{rate} ({})", figure(series.least(|it| it.cpu), 2))
        });
        println!("| {server} | {} |", cells.collect::<Vec<_>>().join(" | "));
    }
}

fn print_memory(shape: &Shape, servers: &[&'static str], all: &[Measurement]) {
    println!("\n## memory: {}\n", shape.title);
    println!(
        "Servers with a task, a coroutine or a thread per connection have a read buffer of 16 KiB in each.\n"
    );
    println!("| server | connections | idle | after each has echoed 64 KiB, in turn |");
    println!("|---|---|---|---|");
    for (server, series) in rows(shape, servers, all) {
        println!(
            "| {server} ({}) | {} | {} | {} |",
            kind(server),
            figure(series.median(|it| it.held), 0),
            figure(series.median(|it| it.idle), 0),
            figure(series.median(|it| it.used), 0),
        );
    }
}

fn print_problems(all: &[Measurement]) {
    let problems: Vec<_> = all.iter().filter_map(|it| Some((it, it.problem.as_deref()?))).collect();
    if problems.is_empty() {
        return;
    }
    println!("\n## What failed\n");
    for (it, problem) in problems {
        println!("- {} under {}, round {}: {problem}", it.server, it.shape, it.round);
    }
}

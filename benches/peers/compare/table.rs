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
            _ => print_shape(shape, servers, all),
        }
    }
    for group in ["seed", "threads"] {
        let shapes: Vec<_> = shapes.iter().copied().filter(|it| it.group == group).collect();
        if shapes.len() > 1 {
            print_threads(group, &shapes, servers, all);
        }
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
        "| server | thousands/s median/worst/best | server CPU us per echo median/**min** | \
         p50 us | p99 us | p99.9 us | slowest/fastest client | system calls per echo |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (server, series) in rows(shape, servers, all) {
        println!(
            "| {server} ({}) | {}/{}/{} | {}/**{}** | {} | {} | {} | {} | {} |",
            kind(server),
            thousands(series.median(|it| it.rate)),
            thousands(series.least(|it| it.rate)),
            thousands(series.most(|it| it.rate)),
            figure(series.median(|it| it.cpu), 2),
            figure(series.least(|it| it.cpu), 2),
            figure(series.median(|it| it.p50), 1),
            figure(series.median(|it| it.p99), 0),
            figure(series.median(|it| it.p999), 0),
            figure(series.median(|it| it.fairness), 2),
            figure(series.median(|it| it.calls), 2),
        );
    }
}

/// One table over the numbers of threads of a group, with a row for each server.
fn print_threads(group: &str, shapes: &[&Shape], servers: &[&'static str], all: &[Measurement]) {
    let (title, _) = shapes[0].title.rsplit_once(',').unwrap_or((&shapes[0].title, ""));
    println!("\n## {group}: {title}, over server threads\n");
    println!(
        "Thousands/s median/worst; CPU us per echo, median; p99 us; slowest/fastest client.\n"
    );
    let counts: Vec<String> = shapes.iter().map(|shape| shape.threads.to_string()).collect();
    println!("| server | {} |", counts.join(" | "));
    println!("|---|{}", "---|".repeat(counts.len()));
    for server in servers {
        let all: Vec<_> =
            shapes.iter().map(|shape| Series::new(all, &shape.name, server)).collect();
        // A server that ran with a few of these numbers only has tables of its own above.
        if all.iter().any(Series::is_empty) {
            continue;
        }
        let cells = all.iter().map(|series| {
            [
                format!(
                    "{}/{}",
                    thousands(series.median(|it| it.rate)),
                    thousands(series.least(|it| it.rate))
                ),
                figure(series.median(|it| it.cpu), 1),
                figure(series.median(|it| it.p99), 0),
                figure(series.median(|it| it.fairness), 2),
            ]
            .join("; ")
        });
        println!("| {server} | {} |", cells.collect::<Vec<_>>().join(" | "));
    }
}

fn print_memory(shape: &Shape, servers: &[&'static str], all: &[Measurement]) {
    println!("\n## memory: {}\n", shape.title);
    println!(
        "Servers with a task, a coroutine, a goroutine or a thread per connection have a read buffer of 16 KiB in each.\n"
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

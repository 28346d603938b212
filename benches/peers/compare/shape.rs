//! The kinds of load that servers are measured under.

use std::thread;

/// One kind of load on a server with a number of threads.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// Its name in the tables: `A`, `seed-32`, `threads-8`.
    pub(crate) name: String,
    /// Its name on the command line: `A`, `seed`, `threads`.
    pub(crate) group: &'static str,
    pub(crate) title: String,
    pub(crate) threads: usize,
    /// Whether the server is pinned to core 0 and the client to core 1.
    pub(crate) is_pinned: bool,
    /// Whether a quick run measures it without being asked by name.
    pub(crate) is_quick: bool,
    pub(crate) work: Work,
}

/// What makes the load.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Work {
    /// This project's client with these flags.
    Client(&'static str),
    /// Thirty processes that do what the original's client did.
    Seeds,
    /// Connections that are held open.
    Memory,
}

/// The load of shape A, which several shapes share.
const MANY: &str = "--connections 30 --size 24";

/// The shapes of one pinned thread: name, title, flags of the client.
const PINNED: [(&str, &str, &str); 6] = [
    ("A", "30 connections, 24 B", MANY),
    ("B", "1 connection, 24 B", "--connections 1 --size 24"),
    ("C", "1000 connections, 64 B", "--connections 1000 --size 64"),
    ("D", "30 connections, 16 KiB", "--connections 30 --size 16k"),
    ("E", "30 connections, 64 B, 16 at a time", "--connections 30 --size 64 --pipeline 16"),
    ("F", "connect, echo once, close", "--connections 30 --size 24 --reconnect-every 1"),
];

/// Server thread counts that are compared; twice the CPUs is added to them.
const THREADS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];
/// Those of a quick run.
const QUICK_THREADS: [usize; 4] = [1, 2, 4, 32];

impl Shape {
    fn pinned((name, title, flags): (&'static str, &str, &'static str)) -> Shape {
        Shape {
            name: name.to_owned(),
            group: name,
            title: title.to_owned(),
            threads: 1,
            is_pinned: true,
            is_quick: true,
            work: Work::Client(flags),
        }
    }

    fn free(group: &'static str, title: &str, threads: usize, work: Work) -> Shape {
        let name = match group {
            "seed" | "threads" => format!("{group}-{threads}"),
            _ => group.to_owned(),
        };
        let title =
            format!("{title}, {threads} server thread{}", if threads > 1 { "s" } else { "" });
        let is_quick = QUICK_THREADS.contains(&threads);
        Shape { name, group, title, threads, is_pinned: false, is_quick, work }
    }

    /// The flags of the client, if the client makes the load.
    pub(crate) fn flags(&self) -> Option<impl Iterator<Item = &'static str>> {
        match self.work {
            Work::Client(flags) => Some(flags.split(' ')),
            _ => None,
        }
    }
}

pub(crate) fn cpus() -> usize {
    thread::available_parallelism().map_or(1, Into::into)
}

/// Twice the CPUs: more threads can be of no use.
pub(crate) fn threads_enough(cpus: usize) -> usize {
    2 * cpus
}

/// Returns whether a shape or a group has this name.
pub(crate) fn is_known(name: &str) -> bool {
    all(cpus()).iter().any(|shape| shape.name == name || shape.group == name)
}

/// All of them.
pub(crate) fn all(cpus: usize) -> Vec<Shape> {
    let mut shapes: Vec<Shape> = PINNED.into_iter().map(Shape::pinned).collect();
    let free = "30 connections, 24 B, unpinned";
    shapes.push(Shape::free("hop", free, 1, Work::Client(MANY)));
    let mut counts = [&THREADS[..], &[threads_enough(cpus)]].concat();
    counts.sort_unstable();
    counts.dedup();
    for &threads in &counts {
        shapes.push(Shape::free("seed", "30 seed processes, unpinned", threads, Work::Seeds));
    }
    for &threads in &counts {
        shapes.push(Shape::free("threads", free, threads, Work::Client(MANY)));
    }
    shapes.push(Shape::free("memory", "bytes of RSS per connection", 1, Work::Memory));
    shapes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::USAGE;

    #[test]
    fn every_group_that_can_be_asked_for_has_a_shape() {
        let groups: Vec<_> = USAGE
            .lines()
            .find_map(|line| line.trim().strip_prefix("--shapes LIST"))
            .and_then(|line| line.trim().split(';').next())
            .into_iter()
            .flat_map(|list| list.split(','))
            .collect();
        let shapes = all(2);
        for group in &groups {
            assert!(shapes.iter().any(|shape| shape.group == *group), "{group}");
        }
        assert!(shapes.iter().all(|shape| groups.contains(&shape.group)));
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = all(4).into_iter().map(|shape| shape.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}

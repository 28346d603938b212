//! `--arrival`: how an open loop spreads its messages over time.

use std::thread;

use reactor_server::Framing;

use crate::support::client::{report, run, run_json, stderr, written};
use crate::support::running::{Running, config};

/// 2000 messages are expected, with a standard deviation of 45.
#[test]
fn poisson_arrivals_keep_the_rate_in_every_shape() {
    let server = Running::echo(config(Framing::Raw));
    let counts: Vec<_> = thread::scope(|scope| {
        let shapes = [
            &["-c", "1"][..],
            &["-c", "1"],
            &["-c", "7", "--threads", "3"],
            &["-c", "7", "--reconnect-every", "50"],
            &["-c", "7", "-s", "1..100", "--framing", "raw"],
        ];
        let threads = shapes.map(|more| {
            let flags = ["--rate", "2k", "-d", "1s", "--arrival", "poisson", "--pipeline", "8"];
            let address = server.address;
            scope.spawn(move || {
                let report = run_json(address, &[&flags[..], more].concat());
                assert_eq!((report.code, &report.json["loop"]), (0, &"open".into()), "{report:?}");
                report.number("messages") + report.number("unsent")
            })
        });
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert!((1820..2180).contains(&counts[0]) && counts[0] != 2000, "{counts:?}");
    // Every run has the same arrivals, however they are shared.
    assert!(counts.iter().all(|count| count.abs_diff(counts[0]) <= 1), "{counts:?}");
    let limited = run_json(
        server.address,
        &["-c", "4", "-n", "100", "--rate", "2k", "--arrival", "poisson", "--hold", "10ms"],
    );
    assert_eq!((limited.code, limited.number("messages")), (0, 404), "{limited:?}");
}

/// How many messages are due in each of ten times in which 20 are expected.
fn due_in_each(arrival: &str) -> Vec<f64> {
    let server = Running::echo(config(Framing::Raw));
    let due_by: Vec<u64> = thread::scope(|scope| {
        let runs: Vec<_> = (1..=10)
            .map(|number| {
                let (address, duration) = (server.address, format!("{}ms", 100 * number));
                scope.spawn(move || {
                    let flags = ["-c", "2", "--rate", "200", "--arrival", arrival, "-d", &duration];
                    let report = run_json(address, &flags);
                    report.number("messages") + report.number("unsent")
                })
            })
            .collect();
        runs.into_iter().map(|run| run.join().expect("no panic")).collect()
    });
    let before = [0].into_iter().chain(due_by.clone());
    before.zip(&due_by).map(|(before, by)| (by - before) as f64).collect()
}

/// The count of a Poisson process in a time has the variance of its mean. This counts what is due,
/// which is the same on a machine that is late.
#[test]
fn poisson_arrivals_come_in_bursts_and_pauses() {
    assert_eq!(due_in_each("uniform"), [20.0; 10]);
    let counts = due_in_each("poisson");
    let variance = counts.iter().map(|count| (count - 20.0).powi(2)).sum::<f64>() / 10.0;
    assert!((5.0..60.0).contains(&variance), "{variance}: {counts:?}");
}

#[test]
fn results_of_other_arrivals_are_not_merged_and_old_ones_are_uniform() {
    let server = Running::echo(config(Framing::Raw));
    let flags = ["-c", "1", "-n", "2", "--rate", "1k", "--arrival"];
    let of = |arrival| run_json(server.address, &[&flags[..], &[arrival]].concat()).json;
    let (uniform, poisson, mut old) = (of("uniform"), of("poisson"), of("uniform"));
    assert_eq!(poisson["plan"]["arrival"], "poisson");
    for key in ["arrival", "think_seconds", "think_spread", "stream", "payload"] {
        old["plan"].as_object_mut().expect("it").remove(key).expect("a value");
    }
    let uniform = written("uniform.json", &uniform);
    let refused = report(&[&uniform, &written("poisson.json", &poisson)], &[]);
    assert!(
        stderr(&refused).contains("arrival is \"uniform\" in one and \"poisson\""),
        "{refused:?}"
    );
    let merged = report(&[&uniform, &written("old.json", &old)], &[]);
    assert_eq!(merged.status.code(), Some(0), "{merged:?}");
    let text = run(server.address, &[&flags[..], &["poisson"]].concat()).stdout;
    let text = String::from_utf8_lossy(&text);
    assert!(text.contains("open loop, 1,000 per second, poisson arrivals, "), "{text}");
}

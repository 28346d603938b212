//! `--arrival`: how an open loop spreads its messages over time.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use reactor_server::Framing;

use crate::support::client::{report, run, run_json, stderr, written};
use crate::support::fake_server::{Wire, answering};
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

/// The times between messages at a server, in means.
fn gaps(arrival: &str) -> Vec<f64> {
    const MEAN: Duration = Duration::from_millis(5);
    let arrivals = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&arrivals);
    let address = answering(Wire::Raw(24), move |_, message| {
        notes.lock().expect("no panic").push(Instant::now());
        message
    });
    let flags = ["-c", "20", "--rate", "200", "-d", "2s", "--arrival", arrival];
    assert_eq!(run_json(address, &flags).code, 0);
    let arrivals = arrivals.lock().expect("no panic");
    let gaps = arrivals.windows(2).map(|pair| (pair[1] - pair[0]).div_duration_f64(MEAN));
    gaps.collect()
}

/// Of Poisson arrivals 13.5 % of the gaps are longer than two means, and 18 % are shorter than a
/// fifth of one; of uniform arrivals none, on a machine that is not late.
#[test]
fn poisson_arrivals_come_in_bursts_and_pauses() {
    let (poisson, uniform) = thread::scope(|scope| {
        let poisson = scope.spawn(|| gaps("poisson"));
        let uniform = scope.spawn(|| gaps("uniform"));
        (poisson.join().expect("no panic"), uniform.join().expect("no panic"))
    });
    let share = |gaps: &[f64], is: fn(&f64) -> bool| {
        gaps.iter().filter(|gap| is(gap)).count() as f64 / gaps.len() as f64
    };
    let (long, short) = (share(&poisson, |&gap| gap > 2.0), share(&poisson, |&gap| gap < 0.2));
    assert!((0.08..0.2).contains(&long) && short > 0.1, "{long} {short}");
    let steady = share(&uniform, |gap| (0.2..2.0).contains(gap));
    assert!(steady > share(&poisson, |gap| (0.2..2.0).contains(gap)), "{steady}");
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
    assert!(text.contains("open loop, 1000 per second, poisson arrivals, "), "{text}");
}

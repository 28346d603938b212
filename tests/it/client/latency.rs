//! The client reports what happened: its figures are compared with servers whose delays
//! are known. `cargo test --test it latency -- --nocapture` prints both.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::client::{JsonReport, run_json};
use crate::support::fake_server::{Wire, answering};

const MILLI: Duration = Duration::from_millis(1);

/// How long the server itself took for its replies, in milliseconds.
#[derive(Default)]
struct Delays(Mutex<Vec<f64>>);

impl Delays {
    /// Measures how long `act` takes.
    fn measure(&self, act: impl FnOnce()) {
        let began = Instant::now();
        act();
        self.0.lock().expect("no panic").push(began.elapsed().as_secs_f64() * 1000.0);
    }

    fn percentile(&self, percentile: usize) -> f64 {
        let mut delays = self.0.lock().expect("no panic");
        delays.sort_by(f64::total_cmp);
        delays[(delays.len() * percentile).div_ceil(100).max(1) - 1]
    }

    fn mean(&self) -> f64 {
        let delays = self.0.lock().expect("no panic");
        delays.iter().sum::<f64>() / delays.len() as f64
    }
}

/// A latency in milliseconds.
fn latency(report: &JsonReport, key: &str) -> f64 {
    report.millis("latency_us", key)
}

/// A server that takes a millisecond for each message, on as many connections at once.
/// By hand: no reply can come before the server has slept, so every percentile is at
/// least the server's own. Each connection has one message under way, so the rate is
/// connections / mean latency (Little's law), less what the client does in between.
#[test]
fn a_closed_loop_measures_the_delay_of_its_server() {
    eprintln!("connections  server p50/p99 ms   client p50/p99 ms   rate   by hand");
    for connections in 1..=4 {
        let delays = Arc::new(Delays::default());
        let theirs = Arc::clone(&delays);
        let server = answering(Wire::Raw(24), move |_, message| {
            theirs.measure(|| thread::sleep(MILLI));
            message
        });
        let report = run_json(server, &["-c", &connections.to_string(), "-n", "400"]);
        assert_eq!(report.code, 0, "{report:?}");
        let (p50, p99) = (delays.percentile(50), delays.percentile(99));
        let rate = report.json["rate"].as_f64().expect("a number");
        let by_hand = 1000.0 * f64::from(connections) / delays.mean();
        eprintln!(
            "{connections:>11}  {p50:>8.3} {p99:>8.3}   {:>8.3} {:>8.3}  {rate:>6.0}  {by_hand:>6.0}",
            latency(&report, "p50"),
            latency(&report, "p99")
        );
        assert!(delays.percentile(0) >= 1.0);
        // A histogram may be off by a thousandth.
        for (key, truth) in [("p50", p50), ("p99", p99)] {
            let measured = latency(&report, key);
            assert!(measured >= 0.999 * truth, "{key}: {measured} ms of {truth}");
        }
        // What it costs to get there and back, five times over on a loaded machine. Such a
        // machine can be late with any one reply, but not with half of them.
        let median = latency(&report, "p50");
        assert!(median <= 2.0 * p50 + 10.0, "{median} ms of {p50}");
        assert!(rate <= 1.02 * by_hand && rate >= by_hand / 5.0, "{rate}, {by_hand}");
        let little = rate * latency(&report, "mean") / 1000.0 / f64::from(connections);
        assert!((0.5..=1.02).contains(&little), "{little}");
    }
}

/// How long a server that stalls for a tenth of each second makes a message wait that
/// arrives now. The stall is in the middle of its seconds, which begin with the first message.
fn end_of_stall(began: Instant) -> Option<Duration> {
    let second = Duration::from_nanos(u64::from(began.elapsed().subsec_nanos()));
    (500 * MILLI..600 * MILLI).contains(&second).then(|| 600 * MILLI - second)
}

fn stalling() -> SocketAddr {
    let began = OnceLock::new();
    answering(Wire::Raw(24), move |_, message| {
        end_of_stall(*began.get_or_init(Instant::now)).into_iter().for_each(thread::sleep);
        message
    })
}

/// By hand, of 1000 messages per second on 10 connections, for 3 whole seconds: a message that
/// is due x ms into a stall of 100 ms can have its reply after 100 - x ms, and so can those that
/// wait behind another on its connection, because they are sent as soon as that is answered. So a
/// tenth of all messages have delays that are spread evenly from 0 to 100 ms, and the others none:
/// a share of 0.1 * (1 - x / 100 ms) has more than x. That is p90 = 0, p95 = 50, p99 = 90 and
/// max = 100 ms.
///
/// From when it was sent, only the one message of each connection that met the stall
/// was late: 10 of 1000, so raw p95 = 0. In the closed loop there are 10 in each second
/// too, of many thousands: p99 = 0.
#[test]
fn an_open_loop_shows_a_stall_that_a_closed_one_hides() {
    let (open, closed) = thread::scope(|scope| {
        let open = scope.spawn(|| {
            run_json(stalling(), &["10", "--rate", "1k", "-d", "3s", "--percentiles", "95"])
        });
        let closed =
            scope.spawn(|| run_json(stalling(), &["10", "-d", "3s", "--percentiles", "95"]));
        (open.join().expect("no panic"), closed.join().expect("no panic"))
    });
    eprintln!("ms              p50      p90      p95      p99      max");
    eprintln!("by hand         0.0      0.0     50.0     90.0    100.0");
    for (name, report, kind) in [
        ("open, due", &open, "latency_us"),
        ("open, sent", &open, "latency_raw_us"),
        ("closed", &closed, "latency_us"),
    ] {
        eprint!("{name:<10}");
        let p95 = percentile_95(report, kind);
        let of = |key| report.millis(kind, key);
        eprintln!(
            " {:>8.3} {:>8.3} {p95:>8.3} {:>8.3} {:>8.3}",
            of("p50"),
            of("p90"),
            of("p99"),
            of("max")
        );
    }
    // A client that is late may end in a stall, with messages that have no room to be sent.
    assert_eq!((open.code, open.number("messages") + open.number("unsent")), (0, 3000));
    let (p95, p99, max) =
        (percentile_95(&open, "latency_us"), latency(&open, "p99"), latency(&open, "max"));
    // Nothing can make a stall shorter. A busy machine may make it longer.
    assert!(p95 >= 40.0 && p99 >= 80.0 && max >= 95.0, "{p95} {p99} {max}");
    assert!(latency(&open, "p50") < p95 / 2.0);
    assert!(percentile_95(&open, "latency_raw_us") < p95 / 2.0);
    assert!(closed.number("messages") > 3000, "{closed:?}");
    assert!(latency(&closed, "p99") < p99 / 3.0, "{closed:?}");
    // It met the stall all the same.
    assert!(latency(&closed, "max") > 50.0, "{closed:?}");
}

fn percentile_95(report: &JsonReport, kind: &str) -> f64 {
    report.millis(kind, "p95")
}

/// A server that takes 50 ms for each of the first 6 messages of a connection, and no time for
/// the others.
fn slow_at_first() -> SocketAddr {
    answering(Wire::Raw(24), |place, message| {
        if place.number < 6 {
            thread::sleep(50 * MILLI);
        }
        message
    })
}

/// Of 100 messages a connection, the 6 slow ones are more than a twentieth. They take 300 ms, and
/// a warm-up of 1.5 s has room for them on a loaded machine, too.
#[test]
fn the_warmup_does_not_count() {
    let flags = ["-c", "4", "-n", "100", "--percentiles", "95"];
    let cold = run_json(slow_at_first(), &flags);
    let warm = run_json(slow_at_first(), &[&flags[..], &["--warmup", "1500ms"]].concat());
    let [slow, fast] = [&cold, &warm].map(|report| latency(report, "p95"));
    eprintln!("p95 with 6 of 100 at 50 ms: {slow:.3} ms, after a warm-up: {fast:.3} ms");
    for report in [&cold, &warm] {
        assert_eq!((report.code, report.number("messages")), (0, 400));
        assert_eq!((report.number("bytes_sent"), report.number("bytes_received")), (9600, 9600));
    }
    assert!(slow >= 50.0 && fast < 50.0, "{slow} {fast}");
    assert!(cold.json["seconds"].as_f64() >= Some(0.3), "{cold:?}");
}

//! The report shows how long connections took to open, whichever they were.

use std::net::SocketAddr;
use std::thread;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use procfs::net::TcpState;
use reactor_server::Framing;
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::support::client::{
    ClientProcess, JsonReport, client, report as merge, run_json, written,
};
use crate::support::running::{Running, config};
use crate::support::{eventually, unused_address};

fn histogram(json: &Value) -> Histogram<u64> {
    let bytes = STANDARD.decode(json["connect_histogram"].as_str().expect("a text"));
    Deserializer::new().deserialize(&mut &bytes.expect("base64")[..]).expect("an HdrHistogram")
}

#[test]
fn each_connection_that_opens_is_measured_once() {
    let server = Running::echo(config(Framing::Raw));
    for (flags, opened) in [
        (&["-c", "7", "-n", "2"][..], 7),
        (&["-c", "5", "-n", "6", "--reconnect-every", "2", "--threads", "2"], 15),
        (&["-c", "4", "--hold", "1ms"], 4),
    ] {
        let report = run_json(server.address, flags);
        assert_eq!((report.code, histogram(&report.json).len()), (0, opened), "{flags:?}");
        for key in ["p50", "p90", "p99", "p99_9", "max", "mean"] {
            assert!(report.millis("connect_us", key) > 0.0, "{key} in {report:?}");
        }
    }
    let refused = run_json(unused_address(), &["-c", "2", "-n", "1"]);
    assert_eq!(refused.json["connect_us"]["p99"], Value::Null, "{refused:?}");
}

#[test]
fn merged_connect_times_are_those_of_all_connections() {
    let server = Running::echo(config(Framing::Raw));
    let parts = ["3", "20"].map(|count| run_json(server.address, &["-c", count, "-n", "1"]).json);
    let mut all = histogram(&parts[0]);
    all += histogram(&parts[1]);
    let files = [0, 1].map(|part| written(&format!("connect-{part}.json"), &parts[part]));
    let merged = JsonReport::of(&merge(&files, &["--json"]));
    assert_eq!(histogram(&merged.json), all);
    assert_eq!(merged.json["connect_us"]["max"], all.max() as f64 / 1000.0);
    // An earlier version did not measure it, so that those of all are not known.
    let mut old = parts[0].clone();
    old.as_object_mut().expect("an object").remove("connect_histogram").expect("a histogram");
    let files = [written("connect-old.json", &old), files[1].clone()];
    let merged = JsonReport::of(&merge(&files, &["--json"]));
    assert_eq!((merged.number("messages"), &merged.json["connect_us"]), (23, &json!(null)));
}

fn states_of_connections_to(address: SocketAddr) -> Vec<TcpState> {
    let all = procfs::net::tcp().expect("the connections of this machine");
    all.into_iter().filter(|it| it.remote_address == address).map(|it| it.state).collect()
}

/// While the accept queue is full, the kernel drops SYNs. The client's kernel sends each again
/// after a second.
#[test]
fn a_lost_syn_is_visible_as_a_second() {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    listener.bind(&any.into()).expect("a port");
    listener.listen(1).expect("a listener");
    let address = listener.local_addr().expect("it").as_socket().expect("an IP address");
    let flags = ["-c", "4", "--hold", "1ms", "--timeout", "200ms", "--json"];
    let process = ClientProcess::start(client(address, &flags));
    // There is room for two connections, and nobody has answered the others.
    let two_are_lost = || {
        let states = states_of_connections_to(address);
        let count = |state| states.iter().filter(|&it| *it == state).count();
        count(TcpState::Established) == 2 && count(TcpState::SynSent) == 2
    };
    eventually("two SYNs are lost", two_are_lost);
    let accept =
        move || (0..4).map(|_| listener.accept().expect("a connection")).collect::<Vec<_>>();
    let accepted = thread::spawn(accept);
    let report = process.report();
    assert_eq!(report.json["connections"]["opened"], 4, "{report:?}");
    // That a connection took long to open does not give its reply more time.
    assert!(report.json["seconds"].as_f64() < Some(2.0), "{report:?}");
    assert!(report.millis("connect_us", "p99") >= 1000.0, "{report:?}");
    assert!(report.millis("connect_us", "p99") < 5000.0, "{report:?}");
    drop(accepted);
}

//! The cost of a server, as its admin page has it.

use crate::support::client::{compare, run, run_json, stderr};
use crate::support::fake_server::untouched;
use crate::support::http::admin_of;
use crate::support::server::ServerProcess;
use crate::support::unused_address;

fn start(flags: &[&str]) -> (ServerProcess, String) {
    let server = ServerProcess::start(&[&["--admin", "127.0.0.1:0"], flags].concat());
    let url = format!("http://{}", admin_of(&server));
    (server, url)
}

#[test]
fn the_cost_and_the_balance_of_a_server_are_those_of_its_admin_page() {
    let (server, url) = start(&["-t", "3"]);
    // Messages begin to count a little before the page has answered. They take two seconds.
    let flags = ["-c", "6", "-n", "1000", "--think", "2ms", "--server", &url];
    let report = run_json(server.address, &flags);
    assert_eq!(report.code, 0);
    let costs = &report.json["server"];
    for key in ["/cpu_us_per_message/total", "/bytes_per_connection/own"] {
        assert!(costs.pointer(key).is_some_and(|it| it.as_f64() >= Some(0.0)), "{key}: {costs}");
    }
    assert!(costs["processes"][format!("{url}/metrics")].is_object(), "{costs}");
    let loops = costs["loops"].as_array().expect("the balance");
    let messages: Vec<_> = loops.iter().map(|it| it.as_u64().expect("a number")).collect();
    assert!(messages.len() == 3 && messages.iter().all(|it| (1000..=2000).contains(it)), "{costs}");
    let text = run(server.address, &["-c", "6", "-n", "5", "--server", &url]).stdout;
    let text = String::from_utf8(text).expect("text");
    assert!(
        text.contains("\nbalance   3 event loops: ") && text.contains("\nserver    "),
        "{text}"
    );
}

#[test]
fn the_page_of_another_server_is_told_of() {
    let ((one, own), (_other, page)) = (start(&[]), start(&[]));
    for (page, is_told) in [(page, true), (own, false)] {
        let output = run(one.address, &["-c", "2", "-n", "2000", "--server", &page]);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(0), "{text}");
        assert_eq!(
            text.contains("bytes: it is another server, or one of several"),
            is_told,
            "{text}"
        );
    }
}

#[test]
fn a_comparison_reads_the_page_of_each_server() {
    let ((one, one_url), (other, other_url)) = (start(&["-t", "1"]), start(&["-t", "1"]));
    let words = [format!("a={}", one.address), format!("b={}", other.address)];
    let pages = format!("a={one_url},b={other_url}");
    let flags = ["-c", "2", "-n", "2000", "--runs", "2", "-q", "--server", &pages];
    let output = compare(&words, &flags).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.code() == Some(0) && text.contains("CPU"), "{output:?}");
}

#[test]
fn a_page_that_is_none_is_an_error_before_connecting() {
    let (listener, address) = untouched();
    let nobody = unused_address().to_string();
    let (server, url) = start(&[]);
    let wrong = format!("{url}/livez");
    for (url, code, error) in [
        (nobody.as_str(), 1, format!("error: cannot read http://{nobody}/metrics: ")),
        (&wrong, 1, format!("error: {wrong} has no reactor_build_info")),
        ("127.0.0.1", 2, "error: invalid value '127.0.0.1' for '--server <URL>'".to_owned()),
        ("https://a:1", 2, "error: invalid value 'https://a:1' for '--server <URL>'".to_owned()),
    ] {
        let output = run(address, &["--server", url]);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert!(stderr(&output).starts_with(&error) && output.stdout.is_empty(), "{output:?}");
    }
    let both = run(address, &["--server", &url, "--server-pid", &server.id().to_string()]);
    assert_eq!(both.status.code(), Some(2), "{both:?}");
    assert!(listener.accept().is_err(), "it has connected");
}

//! Source addresses without a free port, and ports that the kernel gives the client itself.

use crate::support::client::{ClientProcess, JsonReport};
use crate::support::namespace::in_network;
use crate::support::temporary;

/// Runs a script in a network with 100 ports for connections, where a server listens on 127.0.0.1,
/// port 9009. Returns the results of the client that it ends with.
fn beside_server(script: &str) -> Option<JsonReport> {
    let script = format!(
        "exec 3< <(exec \"$2\" 127.0.0.1 9009 2>&1); server=$!; read -ru 3 _; code=0; \
         {script} || code=$?; kill $server; exit $code"
    );
    let command = in_network("40000 40099", &script)?;
    Some(ClientProcess::start(command).report())
}

/// Has another client hold the ports of 127.0.0.2 until the script ends.
fn beside_holder(flags: &str) -> Option<JsonReport> {
    beside_server(&format!(
        "exec 4< <(exec \"$1\" 127.0.0.1 9009 -c 100 --source 127.0.0.2 --hold 1h 2>&1); holder=$!; \
         read -ru 4 _; \"$1\" 127.0.0.1 9009 --json {flags} || code=$?; kill $holder; (exit $code)"
    ))
}

#[test]
fn a_source_without_a_free_port_leaves_its_turn_to_the_others() {
    for flags in [
        "-c 80 -n 5 --source 127.0.0.2,127.0.0.3",
        // Its turn is always that of the same thread.
        "-c 80 -n 5 --source 127.0.0.2,127.0.0.3 --threads 2",
        "-c 40 -n 5 --source 127.0.0.3,127.0.0.2 --reconnect-every 2 --close rst",
    ] {
        let Some(report) = beside_holder(flags) else { return };
        let count: u64 = flags[3..5].parse().expect("a number");
        assert_eq!((report.code, report.number("messages")), (0, 5 * count), "{flags}: {report:?}");
        // No connection has waited for a port.
        assert_eq!(report.stderr, "", "{flags}");
    }
}

/// More than are tried for one connection, and a multiple of the threads.
#[test]
fn the_one_source_with_free_ports_is_found_among_many() {
    let sources = format!("{}127.0.0.3", "127.0.0.2,".repeat(63));
    let flags = format!("-c 16 -n 5 --threads 16 --source {sources}");
    let Some(report) = beside_holder(&flags) else { return };
    assert_eq!((report.code, report.number("messages")), (0, 80), "{report:?}");
    assert_eq!(report.json["connections"]["failed"], 0, "{report:?}");
}

/// Resets leave no port in TIME_WAIT, and connections that stay open leave none either.
#[test]
fn the_note_on_ports_names_resets_only_where_they_help() {
    let note = "out of local ports: waiting for one; --source adds addresses";
    for (flags, helps) in
        [("", false), ("--reconnect-every 1 --close rst", false), ("--reconnect-every 1", true)]
    {
        let flags = format!("-c 130 -n 2 --connect-timeout 100ms --source 127.0.0.1 {flags}");
        let script = format!("\"$1\" 127.0.0.1 9009 --json {flags}");
        let Some(report) = beside_server(&script) else { return };
        let line = report.stderr.lines().next().expect("a note");
        let more = if helps { ", and --close rst leaves none in TIME_WAIT" } else { "" };
        assert_eq!(line, format!("{note}{more}"), "{flags}");
    }
}

/// The kernel takes 0.0.0.0 for 127.0.0.1, where nobody listens on the one port that it has for
/// the client.
#[test]
fn an_address_that_connects_the_client_to_itself_does_not_answer() {
    let folder = temporary("full-sources-etc");
    std::fs::create_dir_all(&folder).expect("a folder");
    let mut setup = String::new();
    for (name, text) in [
        ("hosts", "0.0.0.0 many\n127.0.0.9 many\n"),
        ("nsswitch.conf", "hosts: files\n"),
        ("host.conf", "multi on\n"),
    ] {
        std::fs::write(folder.join(name), text).expect("a file");
        setup += &format!("mount --bind {}/{name} /etc/{name}; ", folder.display());
    }
    let script = format!(
        "code=0; unshare --mount bash -ec '{setup} exec \"$0\" many:40000 -n 1 -c 1 --json' \"$1\" \
         || code=$?; exit $code"
    );
    let Some(command) = in_network("40000 40000", &script) else { return };
    let report = ClientProcess::start(command).report();
    // Nobody listens on either of them.
    assert_eq!(report.stderr.matches(":40000 does not answer: ").count(), 2, "{report:?}");
}

//! `client report --html` writes a page that a browser shows, whatever the results.

use std::fs;
use std::net::SocketAddr;
use std::process::Output;

use hdrhistogram::Histogram;
use reactor_server::Framing;
use serde_json::{Value, json};

use crate::support::browser::{Browser, Scheme};
use crate::support::client::{encoded, report, run, stderr};
use crate::support::running::{Running, config};
use crate::support::{temporary, unused_address};

/// Runs a load, and returns the file of its results.
fn results(name: &str, target: SocketAddr, flags: &[&str]) -> String {
    let file = temporary(&format!("page-{name}.json")).display().to_string();
    run(target, &[flags, &["-q", "--json", "-o", &file]].concat());
    file
}

fn write_page(files: &[&str], page: &str) -> Output {
    report(files, &["--html", page])
}

fn page_of(name: &str, files: &[&str]) -> String {
    let page = temporary(&format!("page-{name}.html")).display().to_string();
    let output = write_page(files, &page);
    assert!(!output.stdout.is_empty(), "the report is printed, too");
    fs::read_to_string(page).expect("a page")
}

fn json_of(file: &str) -> Value {
    serde_json::from_slice(&fs::read(file).expect("a file")).expect("an object")
}

/// The cells of the rows of the table in a section.
fn rows(page: &str, section: &str) -> Vec<Vec<String>> {
    let start = page.find(&format!("<section id=\"{section}\">")).expect(section);
    let section = page[start..].split("</section>").next().expect("its end");
    let body = section.split("<tbody>").nth(1).and_then(|it| it.split("</tbody>").next());
    let cells = |row: &str| {
        row.split('<')
            .filter_map(|tag| tag.split_once('>'))
            .map(|it| it.1.trim().to_owned())
            .filter(|text| !text.is_empty())
            .collect()
    };
    body.unwrap_or("").split("</tr>").map(cells).filter(|row: &Vec<_>| !row.is_empty()).collect()
}

/// The figure that is in a row's second cell.
fn figure(rows: &[Vec<String>], name: &str) -> String {
    rows.iter().find(|row| row[0] == name).unwrap_or_else(|| panic!("no {name}"))[1].clone()
}

#[test]
fn the_figures_of_the_page_are_those_of_the_json() {
    let server = Running::echo(config(Framing::Raw));
    let file = results("figures", server.address, &["-c", "3", "-n", "100"]);
    let (page, json) = (page_of("figures", &[&file]), json_of(&file));
    let figures = rows(&page, "figures");
    for (name, key) in
        [("messages", "messages"), ("errors", "errors"), ("mismatches", "mismatches")]
    {
        assert_eq!(figure(&figures, name), json[key].to_string(), "{name}");
    }
    assert_eq!(figure(&figures, "connections opened"), "3");
    let rounded = |value: &Value, digits| format!("{:.digits$}", value.as_f64().expect("a number"));
    assert_eq!(figure(&figures, "messages per second"), rounded(&json["rate"], 0));
    let latency = rows(&page, "latency");
    // 0 and 50, the five default ones above, the maximum and the mean.
    assert_eq!(latency.len(), 9, "{latency:?}");
    for (name, key) in
        [("50", "p50"), ("99", "p99"), ("99.9", "p99_9"), ("max", "max"), ("mean", "mean")]
    {
        assert_eq!(figure(&latency, name), rounded(&json["latency_us"][key], 1), "{name}");
    }
}

#[test]
fn an_open_loop_page_charts_latency_from_due_and_from_sent() {
    let server = Running::echo(config(Framing::Raw));
    let file = results("open", server.address, &["-c", "3", "-d", "1s", "--rate", "1k"]);
    let page = page_of("open", &[&file]);
    for (colour, name) in
        [("#0072B2", "from when a message was due"), ("#D55E00", "from when it was sent")]
    {
        assert!(page.contains(&format!("stroke=\"{colour}\" stroke-width=\"2\"")), "{name}");
        assert!(page.contains(&format!("\">{name}")), "{name}");
    }
    let (json, latency) = (json_of(&file), rows(&page, "latency"));
    let raw = json["latency_raw_us"]["p99"].as_f64().expect("a number");
    let row = latency.iter().find(|row| row[0] == "99").expect("a row");
    assert_eq!(row[2], format!("{raw:.1}"));
}

#[test]
fn a_page_is_named_for_its_server_and_its_date() {
    let server = Running::echo(config(Framing::Raw));
    let file = results("named", server.address, &["-c", "1", "-n", "1"]);
    let (page, json) = (page_of("named", &[&file]), json_of(&file));
    let started = json["environment"]["started"].as_str().expect("a date").to_owned();
    let date = started[..19].replace('T', " ");
    let title = format!("Echo load on {}", server.address);
    for part in [
        format!("<title>{title}, {date} "),
        format!("<h1>{title}</h1>"),
        format!("<p>Started {date} "),
    ] {
        assert!(page.contains(&part), "{part}");
    }
}

/// The section of this name.
fn section<'a>(page: &'a str, id: &str) -> Option<&'a str> {
    let start = page.find(&format!("<section id=\"{id}\">"))?;
    page[start..].split("</section>").next()
}

/// Whether a busy client took so long to open its connections that the page has a chart of them.
fn opened_slowly(json: &Value) -> bool {
    let moment = |key: &str| json["timeline"][key].as_f64().expect("a moment");
    moment("messages_began") - moment("began") > 0.2
}

#[test]
fn charts_begin_with_messages_and_show_the_warm_up_and_the_planned_rate() {
    let server = Running::echo(config(Framing::Raw));
    let flags = ["-c", "8", "--connect-rate", "10", "-d", "500ms", "--rate", "1k"];
    let file = results("set-up", server.address, &[&flags[..], &["--warmup", "300ms"]].concat());
    let page = page_of("set-up", &[&file]);
    for id in ["latency-over-time", "messages-per-second"] {
        let section = section(&page, id).unwrap_or_else(|| panic!("no {id}"));
        assert!(section.contains("fill=\"#EEEEEE\""), "{id} is not shaded");
        assert!(section.contains("seconds since messages began"), "{id}");
    }
    let rates = rows(&page, "messages-per-second");
    // The first step begins when the warm-up ends; opening took 700 ms before that.
    assert!(rates[0][0].starts_with("0.300 to "), "{rates:?}");
    let counted: f64 = rates.iter().map(|row| messages_of(row)).sum();
    let all = json_of(&file)["messages"].as_f64().expect("a count");
    assert!((counted - all).abs() < 5.0, "{counted} of {all}: {rates:?}");
    let planned = "class=\"second\">planned</li>";
    assert!(section(&page, "messages-per-second").expect("it").contains(planned));
    // It took longer to open them than a tenth of the time.
    let connections = section(&page, "open-connections").expect("a chart");
    assert!(connections.contains("since the first connect") && !connections.contains("#EEEEEE"));
    let closed = results("steady", server.address, &["-c", "3", "-d", "1s"]);
    let page = page_of("steady", &[&closed]);
    let charted = section(&page, "open-connections").is_some();
    assert!(!charted || opened_slowly(&json_of(&closed)), "{page}");
    assert!(
        !page.contains(" fill=\"#EEEEEE\"")
            && !page.contains(planned)
            && section(&page, "errors-and-reconnects").is_none()
    );
}

#[test]
fn the_slowest_reply_errors_and_reconnects_are_placed_in_time() {
    let (file, _) = long("placed");
    let page = page_of("placed", &[&file]);
    let latency = rows(&page, "latency-over-time");
    assert_eq!(latency[0], ["0.000 to 1.000", "2007.0", "2007.0", "2007.0"]);
    let slowest = "The slowest reply took 20015218.7 us. It arrived between 45.100 s and 45.200 s.";
    assert!(section(&page, "latency-over-time").expect("it").contains(slowest), "{latency:?}");
    let events = rows(&page, "errors-and-reconnects");
    assert_eq!(events[30], ["30.000 to 31.000", "1", "1"]);
    assert_eq!(events[29], ["29.000 to 30.000", "0", "0"]);
}

#[test]
fn one_message_or_none_make_a_page() {
    let server = Running::echo(config(Framing::Raw));
    let one = results("one", server.address, &["-c", "1", "-n", "1"]);
    // Latency, latency over time twice, messages per second.
    let charts = page_of("one", &[&one]).matches("<svg role=\"img\" aria-label=\"").count();
    assert!(charts == 4 || charts == 5 && opened_slowly(&json_of(&one)), "{charts}");
    let none = results("none", unused_address(), &["-c", "4", "-n", "1"]);
    let page = page_of("none", &[&none]);
    assert!(page.contains("No reply arrived.") && page.contains("4 x cannot connect"), "{page}");
    assert_eq!(figure(&rows(&page, "figures"), "errors"), "4");
}

#[test]
fn flags_are_escaped_in_the_page() {
    let prefix = "<script>alert('&')</script>";
    let flags = ["-c", "1", "-n", "1", "--framing", "line", "--reply-prefix", prefix];
    let file = results("escaped", unused_address(), &flags);
    let page = page_of("escaped", &[&file]);
    assert!(!page.contains("<script"));
    assert!(page.contains("&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;"));
}

#[test]
fn a_merged_page_names_each_client() {
    let server = Running::echo(config(Framing::Raw));
    let run = |name| results(name, server.address, &["-c", "2", "-n", "10"]);
    let (one, other) = (run("several-1"), run("several-2"));
    let page = page_of("several", &[&one, &other]);
    assert_eq!(figure(&rows(&page, "figures"), "messages"), "40");
    for file in [&one, &other] {
        assert!(page.contains(json_of(file)["environment"]["command"].as_str().expect("text")));
    }
}

/// Latencies from 20 us to 20 s of ten million messages, as they are in JSON.
fn latencies() -> Value {
    let mut histogram = Histogram::<u64>::new(3).expect("a histogram");
    for power in 0..7 {
        let latency = 20_000 * 10_u64.pow(power);
        histogram.record_n(latency, 9 * 10_u64.pow(6 - power)).expect("it fits");
    }
    histogram.record(20_000_000_000).expect("it fits");
    encoded(&histogram)
}

/// The results of a run of a little more than 60 s, in 600 steps.
fn long(name: &str) -> (String, Value) {
    let server = Running::echo(config(Framing::Raw));
    let file = results(name, server.address, &["-c", "2", "-n", "10"]);
    let mut json = json_of(&file);
    let messages: Vec<u64> = (0..600).map(|step| if step == 300 { 0 } else { 100 }).collect();
    let step = |(step, &messages): (usize, &u64)| {
        let mut histogram = Histogram::<u64>::new(2).expect("a histogram");
        let latency = if step == 451 { 20_000_000_000 } else { 20_000 * messages };
        histogram.record_n(latency, messages).expect("it fits");
        if messages == 0 { json!("") } else { encoded(&histogram) }
    };
    let counts = |at: usize| (0..600).map(|step| u64::from(step == at)).collect::<Vec<_>>();
    json["timeline"] = json!({
        "began": 1000.0, "step_seconds": 0.1, "messages": messages, "messages_began": 1000.0,
        "connections": (0..600).map(|step| 7 + u64::from(step > 300)).collect::<Vec<_>>(),
        "errors": counts(300), "reconnects": counts(301),
        "histograms": messages.iter().enumerate().map(step).collect::<Vec<_>>(),
    });
    json["ended"] = json!(1059.95);
    (json["histogram"], json["histogram_raw"]) = (latencies(), latencies());
    json["messages"] = json!(10_000_000);
    fs::write(&file, json.to_string()).expect("a file");
    (file, json)
}

/// The messages of a row with a time and a rate.
fn messages_of(row: &[String]) -> f64 {
    let number = |text: &str| text.parse::<f64>().expect("a number");
    let (from, to) = row[0].split_once(" to ").expect("a stretch of time");
    number(&row[1]) * (number(to) - number(from))
}

#[test]
fn the_timeline_table_is_short_and_complete() {
    let (file, json) = long("long");
    let table = rows(&page_of("long", &[&file]), "messages-per-second");
    assert_eq!(table.len(), 60);
    let messages: f64 = table.iter().map(|row| messages_of(row)).sum();
    let all = json["timeline"]["messages"].as_array().expect("a list");
    let all: f64 = all.iter().filter_map(Value::as_f64).sum();
    assert!((messages - all).abs() < 10.0, "{messages} of {all}");
    // The stall of one step is seen beside those it is in a row with.
    assert_eq!(table[30][2..], ["0", "1000"]);
    // The last step was half as long.
    assert_eq!(table[59][3], "2000");
}

#[test]
fn an_unwritable_page_is_an_error_before_any_output() {
    let file = results("full", unused_address(), &["-c", "1", "-n", "1"]);
    let output = write_page(&[&file], "/no/such/folder/page.html");
    let stderr = stderr(&output);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(stderr.contains("error: cannot write to /no/such/folder/page.html"), "{stderr}");
    let full = write_page(&[&file], "/dev/full");
    assert_eq!(full.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&full.stderr).contains("error: cannot write the page"));
}

#[test]
fn a_browser_renders_the_page_light_dark_and_narrow() {
    let Some(browser) = Browser::find() else {
        return eprintln!("skipped: no browser is installed (Debian's chromium)");
    };
    let (file, _) = long("shown");
    let page = page_of("shown", &[&file]);
    let outward = page.replace("http://www.w3.org/2000/svg", "");
    for reference in ["http:", "https:", " src=", " href=", "url(", "@import"] {
        assert!(!outward.contains(reference), "{reference}");
    }
    let wide = browser.show("light", &page, 1000, Scheme::Light);
    let dark = browser.show("dark", &page, 1000, Scheme::Dark);
    let narrow = browser.show("narrow", &page, 360, Scheme::Light);
    [&wide, &dark, &narrow].into_iter().for_each(assert_legible);
    assert_eq!((&wide["width"], &narrow["width"]), (&json!(1000), &json!(360)));
    assert_ne!(wide["paper"], dark["paper"]);
    assert_ne!(wide["lines"][0]["colour"], dark["lines"][0]["colour"]);
}

/// Asserts that everything is there, within the page, and nothing overlaps.
fn assert_legible(seen: &Value) {
    let lines = seen["lines"].as_array().expect("a list");
    // Two of latency; three of latency over time, which the step without replies interrupts;
    // messages per second, errors, reconnects and open connections.
    assert_eq!(lines.len(), 2 + 2 * 3 + 4, "{seen}");
    for line in [0, 1, 8, 9, 10, 11].map(|index| &lines[index]) {
        let size = (line["width"].as_f64(), line["height"].as_f64());
        assert!(size.0 > Some(200.0) && size.1 > Some(50.0), "{seen}");
    }
    for halves in lines[2..8].chunks(2) {
        let width: f64 = halves.iter().filter_map(|it| it["width"].as_f64()).sum();
        assert!(width > 200.0, "{seen}");
    }
    assert!(seen["scroll"].as_f64() <= seen["width"].as_f64(), "{seen}");
    assert_eq!((&seen["fetched"], &seen["overlaps"]), (&json!(0), &json!([])), "{seen}");
    assert!(seen["letters"].as_f64() >= Some(9.0), "{seen}");
}

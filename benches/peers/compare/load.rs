//! Loads a server with this project's client, and reads the client's results.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::child::Process;
use crate::contender::Contender;
use crate::measurement::Measurement;
use crate::server::Server;
use crate::shape::Shape;
use crate::target::{self, CLIENT};
use crate::trouble::{Result, Trouble, failed};

/// The file that the client writes to.
const OUTPUT: &str = "client.json";
/// How long a client may take beyond the time of the measurement.
const PATIENCE: Duration = Duration::from_secs(20);

/// How much the client sends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Amount {
    /// Its duration, and that of the warm-up before it.
    Time(Duration, Duration),
    /// Messages per connection.
    Messages(u64),
}

impl Amount {
    fn flags(self) -> Vec<String> {
        match self {
            Amount::Messages(count) => vec!["--messages".to_owned(), count.to_string()],
            Amount::Time(time, warmup) => {
                let ms = |time: Duration| format!("{}ms", time.as_millis());
                ["--duration", &ms(time), "--warmup", &ms(warmup)].map(str::to_owned).to_vec()
            }
        }
    }

    fn patience(self) -> Duration {
        match self {
            Amount::Messages(_) => PATIENCE,
            Amount::Time(time, warmup) => time + warmup + PATIENCE,
        }
    }
}

/// Measures a server once.
pub(crate) fn measure(contender: &Contender, shape: &Shape, amount: Amount) -> Result<Measurement> {
    let mut server = Server::start(contender, shape)?;
    let result = run(&mut server, contender, shape, amount);
    let death = server.death();
    server.stop();
    match death {
        Some(death) => failed(death),
        None => read(&result?),
    }
}

/// Runs the client against a running server, and returns its results.
///
/// # Errors
/// A byte was wrong, or a connection failed.
pub(crate) fn run(
    server: &mut Server,
    contender: &Contender,
    shape: &Shape,
    amount: Amount,
) -> Result<Value> {
    let output = target::output(OUTPUT);
    let mut command = Command::new(target::path(CLIENT));
    command.args(["127.0.0.1", &server.port.to_string(), "--server-pid", &server.id().to_string()]);
    command.args(shape.flags().into_iter().flatten()).args(amount.flags());
    command.args(["--json", "--quiet", "--timeout", "5s", "--output", &output]);
    if contender.is_framed() {
        command.args(["--framing", "len32"]);
    }
    // The results of an earlier run must not be taken for those of this one.
    let _ = fs::remove_file(&output);
    let mut client = Process::start(command.stderr(Stdio::null()), shape.is_pinned.then_some(1))?;
    client.wait(amount.patience())?;
    let text = fs::read(&output).map_err(|_| trouble("the client has no results"))?;
    let results = serde_json::from_slice(&text).map_err(|error| trouble(&error.to_string()))?;
    check(&results)?;
    Ok(results)
}

fn trouble(why: &str) -> Trouble {
    Trouble::Failed(why.to_owned())
}

/// Fails unless every byte was right and every connection opened.
fn check(results: &Value) -> Result<()> {
    let count = |pointer: &str| results.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    let bad = [count("/mismatches"), count("/errors"), count("/connections/failed")];
    if bad == [0, 0, 0] && count("/messages") > 0 {
        return Ok(());
    }
    if bad == [0, 0, 0] {
        return failed("no echo in the whole measurement");
    }
    let complaints = results.get("complaints").and_then(Value::as_object);
    let first = complaints.and_then(|it| it.keys().next()).map_or("", String::as_str);
    let [wrong, errors, unopened] = bad;
    failed(format!(
        "{wrong} wrong replies, {errors} errors, {unopened} connections failed: {first}"
    ))
}

fn read(results: &Value) -> Result<Measurement> {
    let figure = |pointer: &str| {
        let value = results.pointer(pointer).and_then(Value::as_f64);
        value.ok_or_else(|| Trouble::Failed(format!("the client's results have no {pointer}")))
    };
    Ok(Measurement {
        rate: Some(figure("/rate")?),
        cpu: Some(figure("/server/cpu_us_per_message/total")?),
        p50: Some(figure("/latency_us/p50")?),
        p99: Some(figure("/latency_us/p99")?),
        p999: Some(figure("/latency_us/p99_9")?),
        echoes: Some(figure("/messages")?),
        seconds: Some(figure("/seconds")?),
        ..Measurement::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_wrong_byte_an_error_and_silence_are_failures() {
        let results = |messages: u64, errors: u64, wrong: u64| {
            let connections = json!({ "failed": 0 });
            let rest = json!({ "mismatches": wrong, "complaints": {}, "connections": connections });
            let mut all = json!({ "messages": messages, "errors": errors });
            all.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            check(&all).is_ok()
        };
        assert!(results(1, 0, 0));
        assert!(!results(1, 1, 0) && !results(1, 0, 1) && !results(0, 0, 0));
    }
}

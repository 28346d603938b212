//! What the client reads is neither overwritten, nor counted twice, nor misread.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use reactor_server::Framing;

use crate::support::client::{CLIENT, ClientProcess, report, run, stderr};
use crate::support::fake_server::untouched;
use crate::support::running::{Running, config};
use crate::support::temporary;

/// An empty folder.
fn folder(name: &str) -> PathBuf {
    let folder = temporary(&format!("inputs-{name}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).expect("a folder");
    folder
}

/// Writes the results of a run to this file.
fn write_results(file: &Path) {
    let server = Running::echo(config(Framing::Raw));
    let file = file.display().to_string();
    let output = run(server.address, &["-c", "1", "-n", "1", "--json", "-o", &file]);
    assert!(output.status.success(), "{output:?}");
}

/// The log of a connection.
const LOG: &str = "\
2026-11-26 23:00:00.250 new connection fd=9,ip=127.0.0.1,port=1, thread id is 1.
2026-11-26 23:00:01.250 connection close fd=9,ip=127.0.0.1,port=1 is 2. open=1.000s messages=3 in=72B out=72B reason=eof
";

/// Runs the client in a folder, with these words.
fn client_in(folder: &Path, words: &str) -> Command {
    let mut command = Command::new(CLIENT);
    command.args(words.split(' ')).current_dir(folder);
    command
}

fn files_in(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|it| it.expect("an entry").path());
    let mut files: Vec<_> =
        paths.map(|path| (path.clone(), fs::read(path).expect("a file"))).collect();
    files.sort();
    files
}

fn assert_refused(output: &Output, error: &str, words: &str) {
    let stderr = stderr(output);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{words}: {stderr}");
    assert!(stderr.starts_with(&format!("error: {error}")), "{words}: {stderr}");
}

#[test]
fn an_output_that_is_read_as_well_is_refused_by_every_path_and_nothing_is_touched() {
    let (listener, address) = untouched();
    let folder = folder("same");
    write_results(&folder.join("a.json"));
    fs::copy(folder.join("a.json"), folder.join("b.json")).expect("a copy");
    fs::write(folder.join("s.log"), LOG).expect("a file");
    fs::hard_link(folder.join("a.json"), folder.join("hard")).expect("a link");
    symlink("hard", folder.join("soft")).expect("a link");
    let before = files_in(&folder);
    for (words, error) in [
        ("report a.json -o a.json", "--output a.json would overwrite a.json, which is read"),
        ("report b.json a.json --json -o ./a.json", "--output ./a.json would overwrite a.json"),
        ("report a.json --html soft", "--html soft would overwrite a.json"),
        ("report a.json --hgrm new --csv hard", "--csv hard would overwrite a.json"),
        ("report hard --csv-timeline soft", "--csv-timeline soft would overwrite hard"),
        ("compare x=a.json y=b.json -o b.json", "--output b.json would overwrite b.json"),
        ("compare a.json b.json --html soft", "--html soft would overwrite a.json"),
        ("log s.log -o s.log", "--output s.log would overwrite s.log"),
        ("{} --payload @a.json --csv soft", "--csv soft would overwrite a.json"),
        ("{} --check --payload @s.log -o s.log", "--output s.log would overwrite s.log"),
        ("sweep {} --rates 10 --payload @s.log --html s.log", "--html s.log would overwrite"),
        ("compare {} 127.0.0.1:9 --payload @s.log -o s.log", "--output s.log would overwrite"),
    ] {
        let words = words.replace("{}", &address.to_string());
        let output = ClientProcess::start(client_in(&folder, &words)).output();
        assert_refused(&output, error, &words);
    }
    let [input, appended] = ["a.json", "b.json"].map(|it| folder.join(it));
    let mut command = client_in(&folder, "report - -o soft");
    let output = command.stdin(File::open(input).expect("a file")).output().expect("it runs");
    assert_refused(&output, "--output soft would overwrite standard input", "report -");
    let stdout = File::options().append(true).open(appended).expect("a file");
    let mut command = client_in(&folder, "report b.json");
    let output = command.stdout(stdout).output().expect("it runs");
    assert_refused(&output, "standard output would overwrite b.json", ">>");
    let mut command = client_in(&folder, "report a.json");
    command.env("CLIENT_OUTPUT", "a.json");
    let output = ClientProcess::start(command).output();
    assert!(
        stderr(&output).contains("(CLIENT_OUTPUT=\"a.json\" in the environment)"),
        "{output:?}"
    );
    assert!(files_in(&folder) == before, "a file has changed");
    assert!(listener.accept().is_err(), "it has connected");
}

#[test]
fn a_device_may_be_read_and_written() {
    let file = temporary("inputs-device.json");
    write_results(&file);
    let output = report(&[&file], &["-o", "/dev/null", "--html", "/dev/null"]);
    assert!(output.status.success(), "{output:?}");
    let output = report(&["/dev/null"], &["-o", "/dev/null"]);
    let error = "error: /dev/null has no results of client --json";
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stderr(&output).starts_with(error), "{output:?}");
}

#[test]
fn a_log_that_is_given_twice_is_refused_also_as_a_copy() {
    let folder = folder("twice");
    for name in ["s.log", "copy.log"] {
        fs::write(folder.join(name), LOG).expect("a file");
    }
    let later = LOG.replace("23:00:0", "23:10:0");
    fs::write(folder.join("later.log"), later).expect("a file");
    fs::write(folder.join("other.log"), "no event\n").expect("a file");
    for files in ["s.log ./s.log", "later.log s.log copy.log"] {
        let output = ClientProcess::start(client_in(&folder, &format!("log {files}"))).output();
        let error = stderr(&output);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{error}");
        let reason = "s.log begin with the same event: one log would count twice\n";
        assert!(error.starts_with("error: ") && error.contains(reason), "{error}");
    }
    let words = "log s.log later.log other.log other.log";
    let output = ClientProcess::start(client_in(&folder, words)).output();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.starts_with("connections    2 opened, 2 closed\n"), "{output:?}");
}

#[test]
fn a_compressed_file_is_refused_with_the_command_that_reads_it() {
    let folder = folder("compressed");
    write_results(&folder.join("b.json"));
    for (name, start) in [
        ("a.gz", &b"\x1f\x8b\x08\x00\n2026"[..]),
        ("a.zst", b"\x28\xb5\x2f\xfd\n"),
        ("a.xz", b"\xfd7zXZ\x00\n"),
        ("a.bz2", b"BZh91AY"),
    ] {
        fs::write(folder.join(name), start).expect("a file");
    }
    for (words, error) in [
        ("log a.gz", "a.gz is compressed with gzip: try `zcat a.gz | client log -`"),
        ("log a.zst", "a.zst is compressed with zstd: try `zstdcat a.zst | client log -`"),
        ("report a.xz", "a.xz is compressed with xz: try `xzcat a.xz | client report -`"),
        ("report b.json a.bz2", "a.bz2 is compressed with bzip2: try `bzcat a.bz2 | client rep"),
        (
            "compare x=a.gz b.json",
            "a.gz is compressed with gzip: try `zcat a.gz | client compare x=- ",
        ),
        ("log a.gz -o new", "a.gz is compressed with gzip"),
    ] {
        let output = ClientProcess::start(client_in(&folder, words)).output();
        let stderr = stderr(&output);
        assert_eq!((output.status.code(), stderr.lines().count()), (Some(1), 1), "{stderr}");
        assert!(stderr.starts_with(&format!("error: {error}")), "{words}: {stderr}");
    }
    assert!(!folder.join("new").exists());
    for words in ["log -", "report -"] {
        let input = File::open(folder.join("a.gz")).expect("a file");
        let output = client_in(&folder, words).stdin(input).output().expect("it runs");
        let error = "error: standard input is compressed with gzip: unpack it with zcat\n";
        assert_eq!(stderr(&output), error, "{words}");
    }
}

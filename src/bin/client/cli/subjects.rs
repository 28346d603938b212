//! The words of `client compare`: running servers, or files of results.

use std::path::{Path, PathBuf};

use reactor_server::program::target::{self, Target};

use crate::meter::CostSource;

/// What is compared. All of it has a name of its own.
#[derive(Debug, PartialEq)]
pub(crate) enum Subjects {
    Servers(Vec<NamedServer>),
    Files(Vec<NamedFiles>),
}

/// A running server.
#[derive(Debug, PartialEq)]
pub(crate) struct NamedServer {
    pub(crate) name: String,
    pub(crate) target: Target,
    /// Where its cost is read, if it is asked for.
    pub(crate) source: Option<CostSource>,
}

/// The files of the runs of one server.
#[derive(Debug, PartialEq)]
pub(crate) struct NamedFiles {
    pub(crate) name: String,
    pub(crate) paths: Vec<PathBuf>,
}

/// A word without its name.
#[derive(Debug)]
enum Subject {
    Server(Target),
    File(PathBuf),
}

/// As many as a chart has colours for.
pub(crate) const MOST: usize = 6;

/// Reads the words, and gives the source of each cost to its server.
///
/// # Errors
/// A sentence that says what is wrong.
pub(super) fn subjects(
    words: &[String],
    sources: &[(String, CostSource)],
    is_file: impl Fn(&Path) -> bool,
) -> Result<Subjects, String> {
    let (mut servers, mut files) = (Vec::<NamedServer>::new(), Vec::<NamedFiles>::new());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let (name, text) = named(word, &is_file)?;
        match subject(text, &mut words, &is_file)? {
            Subject::Server(target) => {
                let name = name.map_or_else(|| target.to_string(), str::to_owned);
                if servers.iter().any(|it| it.name == name) {
                    return Err(format!("two servers have the name {name}: write NAME={text}"));
                }
                servers.push(NamedServer { name, target, source: None });
            }
            Subject::File(path) => {
                let name = name.unwrap_or(text);
                match files.iter_mut().find(|it| it.name == name) {
                    Some(known) => known.paths.push(path),
                    None => files.push(NamedFiles { name: name.to_owned(), paths: vec![path] }),
                }
            }
        }
    }
    match (servers.is_empty(), files.is_empty()) {
        (false, false) => {
            Err("a running server and a file cannot be compared: run both".to_owned())
        }
        (_, true) => checked_servers(servers, sources).map(Subjects::Servers),
        (true, false) => checked_files(files).map(Subjects::Files),
    }
}

/// Gives the source of each cost to its server.
fn checked_servers(
    mut servers: Vec<NamedServer>,
    sources: &[(String, CostSource)],
) -> Result<Vec<NamedServer>, String> {
    check_count(servers.len())?;
    for (name, source) in sources {
        let flag = match source {
            CostSource::Process(_) => "--server-pid",
            CostSource::Page(_) => "--server",
        };
        match servers.iter_mut().find(|it| it.name == *name) {
            Some(server) if server.source.is_none() => server.source = Some(source.clone()),
            Some(_) => return Err(format!("{flag}: the cost of {name} has two sources here")),
            None => return Err(format!("{flag}: no server here has the name {name}")),
        }
    }
    Ok(servers)
}

fn checked_files(files: Vec<NamedFiles>) -> Result<Vec<NamedFiles>, String> {
    check_count(files.len())?;
    match files.iter().any(|it| it.paths.len() != files[0].paths.len()) {
        true => Err("each name needs the same number of files: \
                     the runs are compared in pairs"
            .to_owned()),
        false => Ok(files),
    }
}

fn check_count(count: usize) -> Result<(), String> {
    match count {
        0..2 => Err("a comparison needs two servers: give another TARGET".to_owned()),
        2..=MOST => Ok(()),
        _ => Err(format!("a comparison has at most {MOST} servers")),
    }
}

/// A word without its name. A path may have a `=`, and a name a `/`: what is a file is a path.
fn named(word: &str, is_file: impl Fn(&Path) -> bool) -> Result<(Option<&str>, &str), String> {
    match word.split_once('=') {
        Some(("", _)) => Err(format!("the name is missing in {word:?}")),
        Some((name, text)) if !name.contains('/') => Ok((Some(name), text)),
        Some(_) if is_file(Path::new(word)) => Ok((None, word)),
        Some((name, text)) if is_file(Path::new(text)) || !is_path(text) => Ok((Some(name), text)),
        _ => Ok((None, word)),
    }
}

/// Returns whether a word is a file even if there is none of this name.
fn is_path(text: &str) -> bool {
    text == "-" || text.contains('/') || text.ends_with(".json")
}

/// A server may be two words: HOST and PORT.
fn subject<'a>(
    text: &str,
    words: &mut (impl Iterator<Item = &'a String> + Clone),
    is_file: impl Fn(&Path) -> bool,
) -> Result<Subject, String> {
    let path = Path::new(text);
    if is_file(path) || is_path(text) && !text.contains("://") {
        return Ok(Subject::File(path.to_owned()));
    }
    let (host, port) = target::host_and_port(text)
        .map_err(|why| format!("{text:?} is no file, and no server: {why}"))?;
    let next = words.clone().next().and_then(|it| target::port(it).ok());
    let port = match (port, next) {
        (Some(port), _) => port,
        (None, Some(port)) => {
            words.next();
            port
        }
        (None, None) => {
            return Err(format!("{text:?} is no file, and as a server it has no port"));
        }
    };
    match port {
        0 => Err("no server has port 0: expected a port from 1 to 65535".to_owned()),
        port => Ok(Subject::Server(Target { host, port })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The files that there are.
    const FILES: [&str; 4] = ["results", "file/x=h:1", "./a=3", "dir/x=y"];

    fn parsed(words: &[&str], sources: &[(String, CostSource)]) -> Result<Subjects, String> {
        let words: Vec<_> = words.iter().map(|&it| it.to_owned()).collect();
        subjects(&words, sources, |path| FILES.map(Path::new).contains(&path))
    }

    fn named(words: &[&str]) -> Vec<(String, String)> {
        match parsed(words, &[]).expect("subjects") {
            Subjects::Servers(all) => {
                all.into_iter().map(|it| (it.name, it.target.to_string())).collect()
            }
            Subjects::Files(all) => {
                let all = all.into_iter().map(|it| (it.name, it.paths));
                all.map(|(name, paths)| (name, format!("{paths:?}"))).collect()
            }
        }
    }

    fn pair(name: &str, what: &str) -> (String, String) {
        (name.to_owned(), what.to_owned())
    }

    #[test]
    fn servers_and_files_have_names() {
        assert_eq!(
            named(&["localhost:1", "b=127.0.0.1", "2", "[::1]:3", "::1", "4"]),
            [
                pair("localhost:1", "localhost:1"),
                pair("b", "127.0.0.1:2"),
                pair("[::1]:3", "[::1]:3"),
                pair("[::1]:4", "[::1]:4"),
            ]
        );
        assert_eq!(
            named(&["a/b=127.0.0.1:9009", "c/d=localhost", "1"]),
            [pair("a/b", "127.0.0.1:9009"), pair("c/d", "localhost:1")]
        );
        assert_eq!(
            named(&["file/x=h:1", "x/y=results"]),
            [pair("file/x=h:1", "[\"file/x=h:1\"]"), pair("x/y", "[\"results\"]")]
        );
        assert_eq!(
            named(&[
                "a=1.json", "results", "a=2.json", "./a=3", "results", "dir/x=y", "./a=3",
                "dir/x=y"
            ]),
            [
                pair("a", "[\"1.json\", \"2.json\"]"),
                pair("results", "[\"results\", \"results\"]"),
                pair("./a=3", "[\"./a=3\", \"./a=3\"]"),
                pair("dir/x=y", "[\"dir/x=y\", \"dir/x=y\"]"),
            ]
        );
    }

    #[test]
    fn a_process_is_its_servers() {
        let sources = |names: &[&str]| -> Vec<_> {
            names.iter().map(|&name| (name.to_owned(), CostSource::Process(7))).collect()
        };
        let of = |names: &[&str]| parsed(&["a=h:1", "b=h:2"], &sources(names));
        let Ok(Subjects::Servers(servers)) = of(&["b"]) else { panic!("no servers") };
        assert_eq!(
            (&servers[0].source, &servers[1].source),
            (&None, &Some(CostSource::Process(7)))
        );
        assert!(of(&["c"]).is_err_and(|it| it.contains("no server here has the name c")));
        assert!(of(&["a", "a"]).is_err_and(|it| it.contains("the cost of a has two sources")));
    }

    #[test]
    fn what_is_wrong_is_refused_with_a_reason() {
        for (words, reason) in [
            (&["h:1"][..], "needs two servers"),
            (&["a=1.json", "a=2.json"], "needs two servers"),
            (&["h:1", "x.json"], "a running server and a file"),
            (&["h:1", "h:1"], "two servers have the name h:1"),
            (&["a=h:1", "a=h:2"], "two servers have the name a"),
            (&["=h:1", "h:2"], "the name is missing"),
            (&["a/b=c", "h:2"], "\"c\" is no file, and as a server it has no port"),
            (&["h", "h:2"], "no file, and as a server it has no port"),
            (&["h:1", "h:0"], "no server has port 0"),
            (&["h:1", "tcp://h:2"], "write h:2 without tcp://"),
            (&["a=1.json", "a=2.json", "b=1.json"], "the same number of files"),
            (&["h:1", "h:2", "h:3", "h:4", "h:5", "h:6", "h:7"], "at most 6 servers"),
        ] {
            let error = parsed(words, &[]).expect_err("an error");
            assert!(error.contains(reason), "{words:?}: {error}");
        }
    }
}

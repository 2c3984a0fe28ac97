//! Pages of the documentation, followed as a stranger follows them.
//!
//! - A block with a file name (```` ```yaml factory.yaml ````) is written to that file; a topology must pass `check`.
//! - A block of `yaml` without one is a topology too.
//! - In a block of `console`, what stands behind `$ ` is run, in the order of the page, in one directory. The other lines are
//!   what it prints, `…` being anything. `up` and `run`, and what ends with `&`, go on until the page ends.
//!
//! Who looks for something (`duckdb`, `curl`, Python, `device-sim verify`, `millstream queues`) looks again until it is there.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use tempfile::TempDir;

use crate::{Child, PATIENCE, POLL, site};

/// What is answered by the programs that are built already, and what would run this very test.
const CARGO: &str = r#"#!/bin/sh
case "$*" in
    "run --release -- "*) shift 3; exec millstream "$@" ;;
    "build --release"*) exit 0 ;;
    *) echo "the test of the pages knows no cargo $*" >&2; exit 1 ;;
esac
"#;
const NOT_HERE: [&str; 3] = ["tests/run.sh", "tests/bench.sh", ".ci/run"];

/// One block of a page.
#[derive(Debug, PartialEq)]
enum Block {
    /// A file to be written, or a topology to be checked.
    File { kind: String, name: Option<String>, text: String },
    /// Commands with what they print.
    Console(Vec<Line>),
}

/// A command and what it prints.
#[derive(Debug, PartialEq)]
struct Line {
    command: String,
    prints: Vec<String>,
}

/// Follows the page at `path`, relative to the root of the workspace.
///
/// # Panics
/// When something on it is not so.
pub fn follow(path: &str) {
    let text = fs::read_to_string(site::root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    // Pages use the addresses that users would: one page at a time.
    let turn = File::create(site::programs().join("pages.lock")).expect("a writable target directory");
    turn.lock().expect("a lock");
    let reader = Reader::new();
    let mut servers: Vec<(bool, Child)> = Vec::new();
    for (number, block) in blocks(&text) {
        let place = format!("{path}:{number}");
        match block {
            Block::File { kind, name, text } => reader.write(&place, &kind, name, &text),
            Block::Console(lines) => {
                for line in lines {
                    let up = is_up(&line.command);
                    if up {
                        // Who starts another one has ended the first.
                        servers.retain(|(up, _)| !up);
                    }
                    servers.extend(reader.run(&place, &line).map(|server| (up, server)));
                }
            }
        }
    }
}

/// The blocks of a page, each with the number of its first line.
fn blocks(page: &str) -> Vec<(usize, Block)> {
    let mut found = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(info) = line.trim_start().strip_prefix("```") else { continue };
        let indent = line.len() - line.trim_start().len();
        let mut words = info.split_whitespace();
        let (kind, name) = (words.next().unwrap_or_default(), words.next().map(str::to_owned));
        let body = lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim_start() != "```");
        let body: Vec<&str> = body.map(|line| line.get(indent..).unwrap_or_default()).collect();
        match kind {
            "console" => found.push((number + 1, Block::Console(commands(&body)))),
            "yaml" | "python" | "csv" | "json" | "conf" => {
                let text = body.join("\n") + "\n";
                found.push((number + 1, Block::File { kind: kind.to_owned(), name, text }));
            }
            _ => {}
        }
    }
    found
}

/// The commands of a block. One goes on over several lines until a shell would take it.
fn commands(body: &[&str]) -> Vec<Line> {
    let mut found: Vec<Line> = Vec::new();
    let mut open = false;
    for line in body {
        match (line.strip_prefix("$ "), found.last_mut()) {
            (Some(command), _) if !open => {
                found.push(Line { command: command.to_owned(), prints: Vec::new() });
            }
            (_, Some(last)) if open => {
                last.command.push('\n');
                last.command.push_str(line);
            }
            (_, Some(last)) => last.prints.push((*line).to_owned()),
            (_, None) => panic!("a block of console begins with `$ `, not with {line:?}"),
        }
        open = found.last().is_some_and(|line| line.prints.is_empty() && !is_whole(&line.command));
    }
    found
}

fn is_whole(command: &str) -> bool {
    let mut shell = Command::new("bash");
    shell.args(["-n", "-c", command]).stdout(Stdio::null()).stderr(Stdio::null());
    !command.ends_with('\\') && shell.status().expect("a shell").success()
}

/// Somebody with a shell in a directory of their own.
struct Reader {
    directory: TempDir,
}

impl Reader {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir_all(at("target")).unwrap();
        fs::create_dir_all(at(".bin")).unwrap();
        symlink(site::root().join("examples"), at("examples")).unwrap();
        symlink(site::programs(), at("target/release")).unwrap();
        fs::write(at(".bin/cargo"), CARGO).unwrap();
        let mut executable = Command::new("chmod");
        assert!(executable.arg("+x").arg(at(".bin/cargo")).status().unwrap().success());
        Self { directory }
    }

    fn write(&self, place: &str, kind: &str, name: Option<String>, text: &str) {
        let checked = name.clone().unwrap_or_else(|| "topology.yaml".to_owned());
        if name.is_some() || kind == "yaml" {
            fs::write(self.directory.path().join(&checked), text).unwrap();
        }
        if kind == "yaml" {
            let ended = Child::start(self.shell(&format!("millstream check -c {checked}"))).ended();
            assert_eq!(ended.code, Some(0), "{place}: {checked} is not in order:\n{}", ended.out.join("\n"));
        }
        assert!(
            kind != "python" || name.is_some(),
            "{place}: say which file this is, as in ```python publish.py"
        );
    }

    /// Runs a command; one that goes on is returned.
    fn run(&self, place: &str, line: &Line) -> Option<Child> {
        let command = line.command.trim();
        if command.split(' ').next().is_some_and(|program| NOT_HERE.contains(&program)) {
            return None;
        }
        if let Some(server) = server(command) {
            let child = Child::start(self.shell(&format!("exec {server}")));
            if server.contains("millstream") || server.contains("cargo") {
                child.says("running");
            }
            for expected in &line.prints {
                let longest = expected.split('…').map(str::trim).max_by_key(|piece| piece.len());
                child.says(longest.unwrap_or_default());
            }
            return Some(child);
        }
        let looks = ["duckdb ", "curl ", "cat ", "python3 ", "device-sim verify ", "millstream queues"]
            .iter()
            .any(|name| command.starts_with(name));
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ended = Child::start(self.shell(command)).ended();
            let missing =
                line.prints.iter().find(|expected| !ended.out.iter().any(|said| fits(said, expected)));
            if ended.code == Some(0) && missing.is_none() {
                return None;
            }
            // What is not there yet may come; what is wrong stays wrong.
            let may_come = looks && (ended.code == Some(0) || !command.contains("--check"));
            assert!(
                may_come && Instant::now() < deadline,
                "{place}: `{command}` ended with {:?}; it should print {missing:?}, but printed\n{}\n{}",
                ended.code,
                ended.out.join("\n"),
                ended.err.join("\n"),
            );
            std::thread::sleep(POLL);
        }
    }

    fn shell(&self, command: &str) -> Command {
        let mut shell = Command::new("bash");
        let bin = self.directory.path().join(".bin");
        let venv = site::root().join("target/test-venv/bin");
        assert!(venv.is_dir(), "there is no {}: run tests/run.sh, which makes it", venv.display());
        let search = |path: &Path| path.display().to_string();
        let path = std::env::var("PATH").unwrap_or_default();
        // Debian keeps brokers where not everybody's PATH leads.
        let path =
            [search(&bin), search(&site::programs()), search(&venv), path, "/usr/sbin".to_owned()].join(":");
        shell.args(["-c", command]).current_dir(self.directory.path()).env("PATH", path);
        shell.env_remove("MILLSTREAM_LOG");
        shell
    }
}

fn is_up(command: &str) -> bool {
    ["millstream up", "cargo run --release -- up"].iter().any(|up| command.starts_with(up))
}

/// What goes on until somebody ends it.
fn server(command: &str) -> Option<&str> {
    let serves = is_up(command) || command.starts_with("millstream run ");
    command.strip_suffix('&').map(str::trim_end).or(serves.then_some(command))
}

/// Whether `said` is what `expected` shows, `…` being anything; spaces at the ends do not matter.
fn fits(said: &str, expected: &str) -> bool {
    let (mut rest, mut pieces) = (said.trim(), expected.trim().split('…'));
    let Some(first) = pieces.next() else { return true };
    let Some(after) = rest.strip_prefix(first) else { return false };
    rest = after;
    let pieces: Vec<_> = pieces.collect();
    let Some((last, middle)) = pieces.split_last() else { return rest.is_empty() };
    for piece in middle {
        let Some((_, after)) = rest.split_once(piece) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_falls_into_files_and_commands() {
        let page = "# Page\n```yaml a.yaml\nlanes: 4\n```\ntext\n```console\n$ echo \"a\n  b\"\na\n$ true \\\n   1\n```\n```text\n$ no\n```\n";
        let line = |command: &str, prints: &[&str]| Line {
            command: command.to_owned(),
            prints: prints.iter().map(|line| (*line).to_owned()).collect(),
        };
        let file =
            Block::File { kind: "yaml".into(), name: Some("a.yaml".into()), text: "lanes: 4\n".into() };
        let console = Block::Console(vec![line("echo \"a\n  b\"", &["a"]), line("true \\\n   1", &[])]);
        assert_eq!(blocks(page), [(2, file), (6, console)]);
    }

    #[test]
    fn dots_stand_for_anything() {
        for (said, expected, fitting) in [
            ("rows 12 of 13", "rows … of …", true),
            ("  rows 12", "rows 12", true),
            ("rows 12", "rows", false),
            ("rows 12", "…12", true),
            ("rows 12", "… 13", false),
        ] {
            assert_eq!(fits(said, expected), fitting, "{said:?} {expected:?}");
        }
    }
}

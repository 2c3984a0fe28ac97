//! What the commands say, and what they end with.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use std::{
    fs,
    io::Write,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
};

use serde_json::Value;
use tests::{Child, Ended, Site, program};

fn ended(command: Command) -> Ended {
    Child::start(command).ended()
}

#[test]
fn demo_ends_with_balanced_books() {
    let site = Site::new("");
    let mut command = tests::program("millstream");
    command.args(["demo", "--json", "--devices", "20", "--rate", "500", "--seconds", "2"]);
    command.env("TMPDIR", site.path(""));
    let outcome = ended(command).well().json();
    let count = |key: &str| match &outcome[key] {
        Value::Number(number) => number.as_u64().expect("a count"),
        other => panic!("{key} is {other} in {outcome}"),
    };
    assert!(count("published") > 500, "{outcome}");
    assert_eq!(count("published"), count("acknowledged"));
    assert_eq!(count("published"), count("stored") + count("quarantined") + count("repeated"));
    assert_eq!((count("missing"), count("duplicated")), (0, 0));
    let (_late, _alerts) = (count("late"), count("alerts"));
    assert!(outcome["seconds"].as_f64().expect("seconds") >= 2.0);
}

#[test]
fn a_taken_port_is_named_with_the_way_out() {
    let site = Site::new("");
    let _taken = TcpListener::bind(site.address()).unwrap();
    let said = ended(site.up_command()).with(1).err.join("\n");
    assert!(said.contains(&site.address().to_string()), "{said}");
    assert!(said.contains("--listen"), "{said}");
}

#[test]
fn every_mistake_of_a_config_is_shown_with_its_line() {
    let site = Site::new("lanes: 0\nstore:\n  age_sec: 5\ningest:\n  linger_ms: soon\n");
    let said = ended(site.up_command()).with(2).err.join("\n");
    let file = site.path("millstream.yaml");
    for (line, what) in [(1, "lanes"), (3, "age_secs"), (5, "soon")] {
        let place = format!("{}:{line}:", file.display());
        let found = said.lines().any(|said| said.starts_with(&place) && said.contains(what));
        assert!(found, "no {place} … {what} in\n{said}");
    }
}

#[test]
fn an_unknown_stage_is_a_usage_error() {
    let site = Site::new("");
    let mut command = site.millstream("run");
    command.arg("validat");
    let said = ended(command).with(2).err.join("\n");
    assert!(said.contains("validat") && said.contains("validate, transform"), "{said}");
}

#[test]
fn queues_tells_depths_and_books_while_up_runs() {
    let site = Site::new("store: { age_secs: 3600, age_secs_max: 3600 }\n");
    let _up = site.up();
    site.fleet(["--devices", "5", "--messages", "100"]).ended().well();
    tests::until("all messages have passed validate", || {
        site.queues()["books"]["validate"]["consumed"] == 100
    });
    tests::until("all rows wait for store", || {
        let told = site.queues();
        told["queues"]["store"]["rows"] == told["books"]["alert"]["produced"]
            && told["books"]["transform"]["produced"] == told["books"]["alert"]["consumed"]
    });
    let told = site.queues();
    for queue in ["validate", "transform", "analyze", "alert", "store"] {
        for key in ["frames", "rows", "bytes", "in_flight", "dead"] {
            assert!(told["queues"][queue][key].is_u64(), "{key} of {queue} in {told}");
        }
    }
    assert!(told["queues"]["store"]["oldest_secs"].is_f64(), "{told}");
    assert_eq!(told["queues"]["validate"]["oldest_secs"], Value::Null);
}

#[test]
fn queues_of_nothing_is_an_error_and_makes_nothing() {
    let site = Site::new("");
    let said = ended(site.millstream("queues")).with(1).err.join("\n");
    assert!(said.contains(&site.data().display().to_string()) && said.contains("--data"), "{said}");
    assert!(!site.data().exists());
}

#[test]
fn another_number_of_lanes_is_refused_with_the_way_out() {
    let site = Site::new("");
    let up = site.up();
    up.terminate();
    up.ended().well();
    site.configure("lanes: 8\n");
    let said = ended(site.up_command()).with(2).err.join("\n");
    assert!(said.contains("have 4 lanes") && said.contains("set lanes to 4"), "{said}");
}

/// `millstream passwd` in a site's directory, with `input` on its standard input: the exit code and what it says.
fn passwd(site: &Site, arguments: &[&str], input: &str) -> (Option<i32>, String) {
    let mut command = tests::program("millstream");
    command.arg("passwd").args(arguments).current_dir(site.path(""));
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = piped.unwrap();
    // Who needs no input may be gone already.
    let _gone = child.stdin.take().expect("piped").write_all(input.as_bytes());
    let ended = child.wait_with_output().unwrap();
    (ended.status.code(), String::from_utf8([ended.stdout, ended.stderr].concat()).unwrap())
}

#[test]
fn passwd_keeps_the_users_of_a_file() {
    let site = Site::new("ingest: {listener: {users_file: users}}\n");
    let read = || fs::read_to_string(site.path("users")).unwrap();
    let done = |said: &str| (Some(0), format!("{said}\n"));

    assert_eq!(passwd(&site, &["users", "boiler"], "sword fish\r\nmore"), done("added \"boiler\" to users"));
    assert_eq!(fs::metadata(site.path("users")).unwrap().permissions().mode() & 0o777, 0o600);
    let first = read();
    let hash = first.strip_prefix("boiler:$argon2id$v=19$m=19456,t=2,p=1$").expect(&first);
    assert!(hash.ends_with('\n') && !hash.contains("sword"), "{first}");

    // Nothing of a file that people have written is lost, and it stays whose it was.
    fs::write(site.path("users"), format!("# ours\n\n{first}")).unwrap();
    fs::set_permissions(site.path("users"), PermissionsExt::from_mode(0o640)).unwrap();
    assert_eq!(passwd(&site, &["users", "a:b", "--stdin"], "trout\n"), done("added \"a:b\" to users"));
    let said = passwd(&site, &["users", "boiler", "--stdin"], "trout\n");
    assert_eq!(said, done("changed the password of \"boiler\" in users"));
    let second = read();
    let lines: Vec<_> = second.lines().collect();
    assert_eq!((lines.len(), &lines[..2]), (4, ["# ours", ""].as_slice()), "{second}");
    assert!(lines[2].starts_with("boiler:$") && !second.contains(&first), "{second}");
    assert!(lines[3].starts_with("a:b:$"), "{second}");
    assert_eq!(fs::metadata(site.path("users")).unwrap().permissions().mode() & 0o777, 0o640);
    let mut check = tests::program("millstream");
    check.arg("check").arg("--config").arg(site.path("millstream.yaml"));
    assert!(!ended(check).well().out.join("\n").contains("warning"));

    assert_eq!(passwd(&site, &["users", "boiler", "--delete"], ""), done("removed \"boiler\" from users"));
    assert_eq!(read(), format!("# ours\n\n{}\n", lines[3]));
    for (arguments, input, why) in [
        (&["users", "boiler", "--delete"][..], "", "there is no user \"boiler\" in users"),
        (&["users", "boiler"], "", "the password is empty"),
        (&["users", "#1"], "x", "names do not begin with #"),
        (&["gone", "boiler", "--delete"], "", "cannot find gone"),
        (&["nowhere/users", "boiler"], "x", "cannot change nowhere/users"),
        (&["millstream.yaml", "boiler"], "x", "millstream.yaml:1: "),
    ] {
        let (code, said) = passwd(&site, arguments, input);
        assert!(code == Some(1) && said.contains(why), "{arguments:?}: {said}");
    }
    assert_eq!(read(), format!("# ours\n\n{}\n", lines[3]), "what fails changes nothing");
}

#[test]
fn passwd_loses_nobody_when_many_are_added_at_once() {
    let site = Site::new("");
    std::thread::scope(|scope| {
        for user in ["a", "b", "c", "d"] {
            scope.spawn(|| passwd(&site, &["users", user], "trout\n"));
        }
    });
    let users = fs::read_to_string(site.path("users")).unwrap();
    let mut names: Vec<_> = users.lines().map(|line| &line[..1]).collect();
    names.sort_unstable();
    assert_eq!(names, ["a", "b", "c", "d"]);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let mut command = program("millstream");
    command.args(["check", "--print-schema"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut check = command.spawn().unwrap();
    drop(check.stdout.take());
    let ended = check.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), String::from_utf8_lossy(&ended.stderr)), (Some(0), "".into()));
}

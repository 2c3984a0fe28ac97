//! What the commands say, and what they end with.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use std::{
    fs,
    io::Write,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
    time::Duration,
};

use millstream::{
    database::Database,
    queue::{EncodedFrame, Publish, QueueName, Queues, ReceiveLimits, SqliteOptions, SqliteQueues, Verdict},
};
use serde_json::Value;
use stages::frame::{FrameId, Lane};
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

/// Gives up a frame of one row, as the stage of a queue would.
fn give_up(site: &Site, queue: QueueName, lane: Lane, number: u8) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let database = Database::open(&site.data().join("millstream.db")).unwrap();
        let queues = Queues::Sqlite(SqliteQueues::open(database, SqliteOptions::default()).await.unwrap());
        let bytes = vec![number; 10].into();
        let frame = EncodedFrame { id: FrameId([number; 16]), lane, rows: 1, bytes };
        queues.publish(vec![Publish { queue, frame }]).await.remove(0).unwrap();
        let limits = ReceiveLimits { frames: 1, bytes: 1 << 20, wait: Duration::ZERO };
        let run = queues.receive(queue, queues.holder(), limits).await.unwrap();
        let verdict = Verdict::Dead(format!("number {number} is odd"));
        queues.settle(vec![(run[0].receipt.clone(), verdict)]).await.remove(0).unwrap();
    });
}

#[test]
fn dead_letters_go_only_where_somebody_means_it() {
    let site = Site::new("");
    let dead = |arguments: &[&str]| {
        let mut command = site.millstream("dead");
        command.args(arguments);
        ended(command)
    };
    let said = dead(&["list"]).with(1).err.join("\n");
    assert!(said.contains("there are no queues in") && said.contains("--data"), "{said}");
    give_up(&site, QueueName::Validate, Lane(0), 1);
    give_up(&site, QueueName::Validate, Lane(0), 2);
    let listed = || dead(&["list", "--each", "--json"]).well().json();
    assert_eq!(listed()["groups"][0]["letters"], 2, "one reason but for the number: {}", listed());
    assert_eq!(listed()["letters"].as_array().unwrap().len(), 2);

    let said = dead(&["drop"]).with(2).err.join("\n");
    assert!(said.contains("LETTER") && said.contains("--all"), "{said}");
    let said = dead(&["drop", "--all"]).with(1).err.join("\n");
    assert!(said.contains("2 dead letters with 2 rows, which cannot be undone: add --yes"), "{said}");
    let said = dead(&["requeue", "1", "7"]).with(1).err.join("\n");
    assert!(said.contains("there is no such dead letter 7; nothing was done"), "{said}");
    let said = dead(&["list", "--queue", "valdate"]).with(2).err.join("\n");
    assert!(said.contains("the queues are validate, transform"), "{said}");
    let said = dead(&["list", "--since", "yesterday"]).with(2).err.join("\n");
    assert!(said.contains("expected a date such as 2026-03-01"), "{said}");
    assert_eq!(dead(&["list", "--until", "2026-01-01"]).well().out, ["there are no such dead letters"]);
    assert_eq!(listed()["letters"].as_array().unwrap().len(), 2, "nothing was done so far");

    // It is no frame at all: that is told, and its bytes can be had.
    let file = site.path("letter.arrow");
    let shown = dead(&["show", "1", "--json", "--bytes", file.to_str().unwrap()]).well().json();
    assert!(shown["content"]["unreadable"].is_string(), "{shown}");
    assert_eq!(fs::read(&file).unwrap(), [1; 10]);

    assert_eq!(dead(&["drop", "2"]).well().out, ["dropped 1 dead letter with 1 row: validate 1"]);
    let said = dead(&["requeue", "--all", "--reason", "odd"]).well().out;
    assert_eq!(said, ["requeued 1 dead letter with 1 row: validate 1"]);
    assert_eq!(site.queues()["queues"]["validate"]["frames"], 1);
}

#[test]
fn alerts_come_back_only_where_somebody_takes_them() {
    let site = Site::new("");
    let dead = |arguments: &[&str]| {
        let mut command = site.millstream("dead");
        command.args(arguments);
        ended(command)
    };
    give_up(&site, QueueName::Notify, Lane::of("ops", u16::MAX), 1);
    for chosen in ["1", "--all"] {
        let said = dead(&["requeue", chosen]).with(1).err.join("\n");
        assert!(
            said.contains("dead letter 1 is an alert for a webhook that this topology does not have"),
            "{said}"
        );
    }
    assert_eq!(site.queues()["queues"]["notify"]["dead"], 1);
    site.configure("notify: { webhooks: [{ name: ops, url: \"http://127.0.0.1:9\" }] }\n");
    assert_eq!(dead(&["requeue", "1"]).well().out, ["requeued 1 dead letter with 1 row: notify 1"]);
}

#[test]
fn the_quarantine_can_be_read_without_a_data_file() {
    let site = Site::new("");
    let list = || {
        let mut command = program("millstream");
        command.args(["quarantine", "list", "--config"]).arg(site.path("millstream.yaml"));
        command.arg("--data").arg(site.data());
        ended(command)
    };
    fs::create_dir_all(site.lake().join("quarantine")).unwrap();
    for said in ["there is no ", "not a database"] {
        let listed = list().well();
        let told = listed.err.join("\n");
        assert!(
            told.contains("which messages were replayed is not known: ") && told.contains(said),
            "{told}"
        );
        fs::write(site.data().join("millstream.db"), [7; 4096]).unwrap();
    }
    assert!(!site.data().join("owners").exists(), "nothing was made");
}

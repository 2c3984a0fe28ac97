//! The way back: refused messages are shown, held against another schema, and replayed.

use std::{collections::BTreeSet, fs, process::Command};

use serde_json::{Value, json};
use tests::{Child, Ended, Site, lake, program, until};

use crate::{QUICK, quarantine::publish};

const TOPOLOGY: &str = "
topics:
  - pattern: devices/{device}
    schema: state.json
    transform: { preset: device_sim, device: { capture: device } }
analyze: { dedupe_secs: 1576800000 }
";

/// Only whole degrees.
const FIRST: &str = r#"{"version": 1, "required": ["ts"],
    "properties": {"metrics": {"additionalProperties": {"type": "integer"}}}}"#;
/// All numbers.
const SECOND: &str = r#"{"version": "2-final", "required": ["ts"],
    "properties": {"metrics": {"additionalProperties": {"type": "number"}}}}"#;

fn site() -> Site {
    let site = Site::new(&format!("{TOPOLOGY}{QUICK}"));
    write(&site, "state.json", FIRST);
    write(&site, "second.json", SECOND);
    site
}

fn write(site: &Site, name: &str, text: &str) {
    fs::write(site.path(name), text).unwrap();
}

/// A message that [`FIRST`] refuses, and [`SECOND`] does not.
fn half_a_degree(device: &str, seq: usize) -> (String, Vec<u8>) {
    let payload = json!({ "ts": "2026-01-01T00:00:00Z", "seq": seq, "metrics": { "t": 20.5 } });
    (format!("devices/{device}"), payload.to_string().into_bytes())
}

fn publish_all(site: &Site, messages: &[(String, Vec<u8>)]) {
    let messages: Vec<_> =
        messages.iter().map(|(topic, payload)| (topic.as_str(), payload.clone())).collect();
    publish(site, &messages);
    site.wait_until_dry();
}

/// `millstream quarantine COMMAND` on the site, with a topology file of its own.
fn command_with(site: &Site, topology: &str, arguments: &[&str]) -> Command {
    let mut command = program("millstream");
    command.arg("quarantine").args(arguments).arg("--config").arg(site.path(topology));
    command.arg("--data").arg(site.data());
    command
}

fn run(site: &Site, arguments: &[&str]) -> Ended {
    Child::start(command_with(site, "millstream.yaml", arguments)).ended()
}

/// What a command answers in JSON.
fn ask(site: &Site, arguments: &[&str]) -> Value {
    run(site, &[arguments, &["--json"]].concat()).well().json()
}

fn count(site: &Site, sql: &str) -> Value {
    lake::query(&site.lake(), &format!("SELECT count(*) AS rows FROM {sql}"))[0]["rows"].clone()
}

/// Refuses so many messages of 10 devices, and leaves the pipeline stopped.
fn refuse(site: &Site, messages: usize) {
    let up = site.up();
    let messages: Vec<_> =
        (0..messages).map(|seq| half_a_degree(&format!("pump-{}", seq % 10), seq)).collect();
    publish_all(site, &messages);
    up.terminate();
    up.ended().well();
}

#[test]
fn a_better_schema_brings_back_exactly_what_passes_it_once() {
    let site = site();
    let up = site.up();
    let messages: Vec<_> = (0..10_000)
        .map(|seq| {
            let (topic, payload) = half_a_degree(&format!("pump-{:02}", seq % 100), seq);
            let text = |payload: Value| (topic.clone(), payload.to_string().into_bytes());
            match seq % 50 {
                0..=2 => text(json!({ "ts": "2026-01-01T00:00:00Z", "seq": seq, "metrics": { "t": "hot" } })),
                3..=4 => text(json!({ "seq": seq, "metrics": { "t": 20 } })),
                _ => (topic, payload),
            }
        })
        .collect();
    publish_all(&site, &messages);

    let listed = ask(&site, &["list"]);
    assert_eq!((&listed["rows"], &listed["replayed"]), (&json!(10_000), &json!(0)));
    assert_eq!(
        listed["reason"]["top"],
        json!([{ "name": "validate: schema", "rows": 10_000, "replayed": 0 }])
    );
    assert_eq!(listed["schema"]["top"][0]["name"], "state.json, version 1");
    assert_eq!((&listed["device"]["top"][0]["rows"], &listed["device"]["more"]), (&json!(100), &json!(90)));
    let of_one =
        ask(&site, &["list", "--topic", "devices/+", "--device", "pump-07", "--schema", "state.json"]);
    assert_eq!(of_one["rows"], 100);
    let (first, last) = (listed["first"].as_str().unwrap(), listed["last"].as_str().unwrap());
    let (after, until) = (ask(&site, &["list", "--since", last]), ask(&site, &["list", "--until", last]));
    assert_eq!(after["rows"].as_u64().unwrap() + until["rows"].as_u64().unwrap(), 10_000);
    assert_ne!(after["rows"], 0);
    assert_eq!(ask(&site, &["list", "--until", first])["rows"], 0);

    let schema = site.path("second.json");
    let different = ask(&site, &["diff", "--schema", schema.to_str().unwrap()]);
    assert_eq!(
        [&different["rows"], &different["pass"], &different["fail"], &different["refused_by_transform"]],
        [10_000, 9_000, 1_000, 0]
    );
    let faults = different["faults"].as_array().unwrap().iter();
    let faults: Vec<_> =
        faults.map(|fault| json!([fault["pointer"], fault["keyword"], fault["messages"]])).collect();
    assert_eq!(faults, [json!(["/metrics/t", "type", 600]), json!(["", "required", 400])]);
    assert_eq!(different["faults"][0]["example"]["error"], "\"hot\" is not of type \"number\"");

    assert_eq!(ask(&site, &["replay"])["replayed"], 0, "by the schema as it is");
    write(&site, "state.json", SECOND);
    up.hang_up();
    up.says("read again and in force");
    assert_eq!(ask(&site, &["replay", "--dry-run"])["replayed"], 9_000);
    let replayed = ask(&site, &["replay", "--rate", "0"]);
    assert_eq!((&replayed["replayed"], &replayed["replayed_before"]), (&json!(9_000), &json!(0)));
    assert_eq!(replayed["still_refused_by"], json!({ "validate: schema": 1_000 }));
    site.wait_until_dry();
    let again = ask(&site, &["replay", "--rate", "0"]);
    assert_eq!((&again["replayed"], &again["replayed_before"]), (&json!(0), &json!(9_000)));
    assert_eq!(again["still_refused"], 1_000);
    let listed = ask(&site, &["list"]);
    assert_eq!((&listed["rows"], &listed["replayed"]), (&json!(10_000), &json!(9_000)));
    assert_eq!(ask(&site, &["diff", "--schema", schema.to_str().unwrap()])["rows"], 1_000);

    up.terminate();
    up.ended().well();
    assert_eq!(count(&site, "'readings/**/*.parquet'"), 9_000);
    let same = "'readings/**/*.parquet' AS r JOIN 'quarantine/**/*.parquet' AS q USING (message, received_at)
                WHERE q.topic = 'devices/' || r.device_id AND r.seq = CAST(decode(q.payload)::JSON ->> 'seq' AS UBIGINT)
                AND r.value = 20.5";
    assert_eq!(count(&site, same), 9_000, "with number and time of receipt of the first time");
    let queues = site.queues();
    let books = &queues["books"];
    assert_eq!(books["replay"]["consumed"], 9_000);
    assert_eq!(books["analyze"]["repeated"], 0, "nothing came twice");
}

#[test]
fn a_replay_that_is_killed_goes_on_where_it_was() {
    let site = site();
    refuse(&site, 3_000);
    write(&site, "state.json", SECOND);
    let slow = Child::start(command_with(&site, "millstream.yaml", &["replay", "--rate", "400"]));
    until("some are replayed", || ask(&site, &["list"])["replayed"].as_u64().unwrap() >= 100);
    slow.kill();
    let before = ask(&site, &["list"])["replayed"].as_u64().unwrap();
    assert!((100..3_000).contains(&before), "{before}");
    assert_eq!(site.queues()["queues"]["validate"]["rows"], before, "published and remembered at once");

    let some = ask(&site, &["replay", "--limit", "50"]);
    assert_eq!((&some["replayed"], &some["limited"]), (&json!(50), &json!(true)));
    // Two at once share the rest.
    let both = [(); 2]
        .map(|()| Child::start(command_with(&site, "millstream.yaml", &["replay", "--rate", "0", "--json"])));
    let both = both.map(|replay| replay.ended().well().json()["replayed"].as_u64().unwrap());
    assert_eq!(both.iter().sum::<u64>(), 3_000 - before - 50, "{both:?}");
    assert_eq!(site.queues()["queues"]["validate"]["rows"], 3_000);

    let up = site.up();
    site.wait_until_dry();
    up.terminate();
    up.ended().well();
    assert_eq!(count(&site, "(SELECT DISTINCT message FROM 'readings/**/*.parquet')"), 3_000);
    assert_eq!(site.queues()["books"]["analyze"]["repeated"], 0, "nothing came twice");
}

#[test]
fn what_is_refused_again_can_come_back_again() {
    let site = site();
    let up = site.up();
    publish_all(&site, &[half_a_degree("pump", 1)]);
    // Whoever replays has another config than whoever runs the stages.
    write(&site, "other.yaml", &TOPOLOGY.replace("state.json", "second.json"));
    let replay = |topology: &str| {
        let ended = Child::start(command_with(&site, topology, &["replay", "--json"])).ended().well().json();
        site.wait_until_dry();
        ended
    };
    for (times, topology) in [(1, "other.yaml"), (2, "other.yaml")] {
        assert_eq!(replay(topology)["replayed"], 1);
        let listed = ask(&site, &["list"]);
        assert_eq!((&listed["rows"], &listed["replayed"]), (&json!(times + 1), &json!(times)));
    }
    write(&site, "state.json", SECOND);
    up.hang_up();
    up.says("read again and in force");
    let last = replay("millstream.yaml");
    assert_eq!((&last["replayed"], &last["replayed_before"]), (&json!(1), &json!(2)));
    assert_eq!(replay("millstream.yaml")["replayed"], 0);

    let message = lake::query(&site.lake(), "SELECT DISTINCT message FROM 'readings/**/*.parquet'");
    let [message] = message.as_slice() else { panic!("one reading: {message:?}") };
    let shown = run(&site, &["show", &message["message"].to_string(), "--json"]).well().out;
    let shown: Vec<Value> = shown.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let replays: BTreeSet<_> = shown.iter().map(|row| row["replays"].as_u64().unwrap()).collect();
    assert_eq!(replays, BTreeSet::from([0, 1, 2]));
    for row in &shown {
        assert_eq!(row["received_at"], shown[0]["received_at"]);
        assert_eq!((&row["schema_version"], &row["replayed"]), (&json!("1"), &json!(true)));
    }
    up.terminate();
    up.ended().well();
}

#[test]
fn what_no_pattern_fitted_and_what_transform_refused_comes_back_too() {
    let site = site();
    let up = site.up();
    let late_clock = json!({ "ts": "9999-01-01T00:00:00Z", "metrics": { "t": 1 } }).to_string().into_bytes();
    let (_, half) = half_a_degree("", 1);
    publish_all(
        &site,
        &[
            ("tanks/t-1".into(), half),
            ("devices/clock".into(), late_clock),
            ("tanks/x".into(), b"\xff\x1b[2J".to_vec()),
        ],
    );
    up.terminate();
    up.ended().well();

    let shown = run(&site, &["show"]).well().out.join("\n");
    let wanted = [
        "refused by   ingest: no_pattern",
        "refused by   transform: future_time",
        "schema       state.json, version 1",
        "payload      5 bytes, as hex",
        "ff1b5b324a",
        "error        /ts: ",
    ];
    for part in wanted {
        assert!(shown.contains(part), "{shown}\nlacks {part}");
    }
    assert!(!shown.contains('\u{1b}'));

    let tanks = TOPOLOGY.replace("devices/{device}", "tanks/{device}").replace("state.json", "second.json");
    site.configure(&format!("{tanks}{QUICK}"));
    let replayed = ask(&site, &["replay"]);
    let refused = json!({ "validate: no_pattern": 1, "validate: not_utf8": 1 });
    assert_eq!((&replayed["replayed"], &replayed["still_refused_by"]), (&json!(1), &refused));
    let patient =
        TOPOLOGY.replace("preset: device_sim,", "preset: device_sim, max_future_secs: 315360000000,");
    site.configure(&format!("{patient}{QUICK}"));
    assert_eq!(ask(&site, &["replay", "--stage", "transform"])["replayed"], 1);

    let both = tanks.replace("analyze:", "  - pattern: devices/{device}\n    transform: { preset: device_sim, device: { capture: device }, max_future_secs: 315360000000 }\nanalyze:");
    site.configure(&format!("{both}{QUICK}"));
    let up = site.up();
    site.wait_until_dry();
    up.terminate();
    up.ended().well();
    let devices =
        lake::query(&site.lake(), "SELECT device_id FROM 'readings/**/*.parquet' ORDER BY device_id");
    assert_eq!(devices, [json!({ "device_id": "clock" }), json!({ "device_id": "t-1" })]);
}

#[test]
fn what_cannot_be_done_is_told() {
    let site = site();
    let told = |arguments: &[&str]| run(&site, arguments).with(1).err.join("\n");
    assert!(told(&["list"]).contains("there is no lake in"));
    assert!(told(&["replay"]).contains("there are no queues in"));
    refuse(&site, 1);
    write(&site, "broken.json", "{\n  \"type\": 5\n}");
    let broken = site.path("broken.json");
    let text = told(&["diff", "--schema", broken.to_str().unwrap()]);
    assert!(text.contains(&format!("cannot use the schema {}: at /type", broken.display())), "{text}");
    assert!(told(&["diff", "--schema", "absent.json"]).contains("absent.json: No such file"));
    assert!(told(&["show", "17"]).contains("message 17 is not in the quarantine"));
    let since = run(&site, &["list", "--since", "yesterday"]).with(2).err.join("\n");
    assert!(since.contains("write it as 2026-01-31T12:00:00Z"), "{since}");
}

#[test]
fn rows_without_the_newest_columns_come_back_too() {
    let site = site();
    refuse(&site, 100);
    // As a tool that is not ours writes them, which knows neither dictionaries nor what is new.
    let files = lake::query(&site.lake(), "SELECT file FROM glob('quarantine/**/*.parquet')");
    let files: Vec<_> = files.iter().map(|row| row["file"].as_str().unwrap()).collect();
    let directory = files[0].rsplit_once('/').unwrap().0;
    let columns = "* EXCLUDE (replays, schema_version)";
    let copy = format!(
        "COPY (SELECT {columns} FROM read_parquet('quarantine/**/*.parquet', hive_partitioning = false))
         TO '{directory}/0.parquet' (COMPRESSION zstd)"
    );
    lake::query(&site.lake(), &copy);
    for file in files {
        fs::remove_file(site.lake().join(file)).unwrap();
    }
    // Beside rows that have them.
    refuse(&site, 10);
    let listed = ask(&site, &["list"]);
    let name = |schema: usize| &listed["schema"]["top"][schema]["name"];
    assert_eq!(
        (&listed["rows"], name(0), name(1)),
        (&json!(110), &json!("state.json"), &json!("state.json, version 1"))
    );
    let shown = ask(&site, &["show", "--limit", "1"]);
    assert_eq!(
        (&shown["replays"], &shown["schema_version"], &shown["payload_as"]),
        (&json!(0), &json!(null), &json!("text"))
    );
    assert_eq!(shown["errors"][0]["pointer"], "/metrics/t");

    write(&site, "state.json", SECOND);
    assert_eq!(ask(&site, &["replay", "--rate", "0"])["replayed"], 110);
    assert_eq!(ask(&site, &["replay", "--rate", "0"])["replayed"], 0);
}

#[test]
fn a_replay_waits_while_the_queue_is_full() {
    let site = site();
    site.configure(&format!(
        "{TOPOLOGY}{QUICK}queues: {{ queue_bytes_max: 1048576, frame_bytes_max: 1048576 }}\n"
    ));
    // Digits that no compression makes much smaller than half.
    let mut digits = 1_u64;
    let mut noise = || {
        digits = digits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{digits:016x}")
    };
    let messages: Vec<_> = (0..1_500)
        .map(|seq| {
            let noise: String = (0..200).map(|_| noise()).collect();
            let payload =
                json!({ "ts": "2026-01-01T00:00:00Z", "metrics": { "t": 20.5 }, "seq": seq, "noise": noise });
            ("devices/pump".to_owned(), payload.to_string().into_bytes())
        })
        .collect();
    let up = site.up();
    publish_all(&site, &messages);
    up.terminate();
    up.ended().well();

    write(&site, "state.json", SECOND);
    let replay = Child::start(command_with(&site, "millstream.yaml", &["replay", "--rate", "0", "--json"]));
    replay.says("the queue validate is full");
    let waiting = site.queues()["queues"]["validate"]["rows"].as_u64().unwrap();
    assert!((1..1_500).contains(&waiting), "{waiting}");
    let up = site.up();
    assert_eq!(replay.ended().well().json()["replayed"], 1_500);
    site.wait_until_dry();
    up.terminate();
    up.ended().well();
    assert_eq!(count(&site, "'readings/**/*.parquet'"), 1_500);
}

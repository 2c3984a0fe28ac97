use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use device_sim::{Mqtt, Qos};

use super::broker::{Behaviour, Broker};

fn device_sim(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_device-sim"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn output(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test]
async fn usage_errors_exit_with_2_and_say_what_to_do() {
    for (arguments, part) in [
        (&["run", "--broker", "mqtts://host"][..], "use the broker's mqtt:// port"),
        (&["run", "--faults", "sneeze=1"], "unknown fault \"sneeze\": use malformed, schema"),
        (&["run", "--faults", "late=2"], "use a number from 0 to 1"),
        (&["run", "--devices", "0"], "--devices"),
        (&["run", "--rate", "1e12"], "rate 1000000000000 is out of range"),
        (&["run", "--qos", "3"], "possible values: 0, 1, 2"),
        (&["replay"], "<FILE.csv>"),
        (&["replay", "/nonexistent.csv"], "/nonexistent.csv"),
        (&["verify", "--ledger", "/nonexistent", "--lake", "/"], "/nonexistent"),
    ] {
        let output = output(device_sim(arguments)).await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(part), "{arguments:?}: {}", stderr(&output));
    }
}

#[tokio::test]
async fn run_prints_one_json_object_and_verify_judges_the_lake() {
    let broker = Broker::start(Behaviour { drop_after: vec![40], ..Behaviour::default() }).await;
    let directory = tempfile::tempdir().unwrap();
    let ledger = directory.path().join("ledger");
    let (ledger, address) = (ledger.to_str().unwrap(), broker.address().to_string());
    let run = output(device_sim(&[
        "run",
        "--broker",
        &address,
        "--messages",
        "100",
        "--rate",
        "0",
        "--connections",
        "1",
        "--ledger",
        ledger,
        "--json",
    ]))
    .await;
    assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
    let report: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!((&report["published"], &report["acknowledged"]), (&100.into(), &100.into()));
    assert!(report["latency_ms"]["p99_9"].as_f64().unwrap() > 0.0);
    let said = stderr(&run);
    assert_eq!((said.matches("trying again").count(), said.matches("again\n").count()), (1, 2), "{said}");
    assert!(said.contains(&format!("connected to {address} again")), "{said}");

    let lake = directory.path().join("lake");
    fs::create_dir_all(lake.join("readings")).unwrap();
    let arguments = ["verify", "--ledger", ledger, "--lake", lake.to_str().unwrap(), "--json"];
    let verify = output(device_sim(&arguments)).await;
    assert_eq!(verify.status.code(), Some(1));
    let result: serde_json::Value = serde_json::from_slice(&verify.stdout).unwrap();
    assert_eq!((&result["missing"], &result["examples"][0]["problem"]), (&100.into(), &"missing".into()));
}

#[tokio::test]
async fn a_signal_stops_and_tells_what_is_not_acknowledged() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let broker = Broker::start(Behaviour { mute: true, ..Behaviour::default() }).await;
        let address = broker.target(Mqtt::V5, Qos::AtLeastOnce).broker.to_string();
        let process = device_sim(&[
            "run",
            "--broker",
            &address,
            "--messages",
            "1000",
            "--inflight",
            "5",
            "--connections",
            "1",
        ])
        .spawn()
        .unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while broker.received().len() < 5 {
            assert!(Instant::now() < deadline, "nothing was published");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let killed = Command::new("kill").args([signal, &process.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let output = tokio::task::spawn_blocking(|| process.wait_with_output().unwrap()).await.unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert!(stderr(&output).contains("of 5 messages 5 were not acknowledged"), "{}", stderr(&output));
    }
}

#[tokio::test]
async fn replay_ends_well_only_when_all_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("series.csv");
    fs::write(&file, "t,v\n1,1\n2,66.5\n3,3\n").unwrap();
    for (refused, code) in [(None, 0), (Some("66.5"), 1)] {
        let broker = Broker::start(Behaviour { refused, ..Behaviour::default() }).await;
        let address = broker.address().to_string();
        let output = output(device_sim(&["replay", path(&file), "--broker", &address])).await;
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert_eq!(broker.received().len(), 3);
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

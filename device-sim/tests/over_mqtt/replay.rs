use std::{fs, future::pending, path::Path};

use device_sim::{
    Mqtt, Qos, SimError, Target,
    replay::{ReplayOptions, find_files, replay_until},
    report::RunReport,
};

use super::broker::{Behaviour, Broker};

async fn replay(broker: &Broker, directory: &Path, speed: Option<f64>) -> Result<RunReport, SimError> {
    let target = Target { connections: 8, ..broker.target(Mqtt::V5, Qos::AtLeastOnce) };
    let files = find_files(&[directory.to_path_buf()])?;
    replay_until(ReplayOptions { target, files, speed, ledger: None }, false, pending()).await
}

fn write(directory: &Path, name: &str, text: &str) {
    let path = directory.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[tokio::test]
async fn rows_become_messages() {
    let directory = tempfile::tempdir().unwrap();
    let rows = "timestamp,value,state,note\n\
                2015-02-26 21:42:53,104,open,\n\
                2015-02-26T23:47:53.5+02:00,0.1,NaN,\"a \"\"b\"\"\"\n\
                2015-02-26 21:49:00,,,\n\
                1424987633, -1e-7 ,inf,x\n";
    write(directory.path(), "deep/below/pump_7.csv", rows);
    write(directory.path(), "empty.csv", "timestamp,value\n");
    write(directory.path(), "notes.txt", "no series");
    let broker = Broker::start(Behaviour { drop_after: vec![2], ..Behaviour::default() }).await;
    let report = replay(&broker, directory.path(), None).await.unwrap();
    assert_eq!((report.published, report.acknowledged), (3, 3));
    assert_eq!(
        broker.payloads(),
        [
            r#"{"device_id":"pump_7","ts":"2015-02-26T21:42:53Z","seq":1,"metrics":{"value":104.0,"state":"open"}}"#,
            r#"{"device_id":"pump_7","ts":"2015-02-26T21:47:53.500Z","seq":2,"metrics":{"value":0.1,"state":"NaN","note":"a \"b\""}}"#,
            r#"{"device_id":"pump_7","ts":"2015-02-26T21:53:53Z","seq":4,"metrics":{"value":-1e-7,"state":"inf","note":"x"}}"#,
        ]
    );
    assert!(broker.received().iter().all(|one| one.topic == "devices/pump_7/telemetry"));
}

#[tokio::test]
async fn a_speed_plays_files_by_their_times() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "a.csv", "t,v\n100,1\n400,2\n");
    write(directory.path(), "b.csv", "t,v\n300,3\n500,4\n");
    write(directory.path(), "c.csv", "t,v\n200,5\n");
    let broker = Broker::start(Behaviour::default()).await;
    let target = broker.target(Mqtt::V5, Qos::AtLeastOnce);
    let files = find_files(&[directory.path().to_path_buf()]).unwrap();
    let options = ReplayOptions { target, files, speed: Some(2000.0), ledger: None };
    let report = replay_until(options, false, pending()).await.unwrap();
    // 400 s of events at 2000 times their speed.
    assert!(report.seconds >= 0.2, "{report:?}");
    let played: Vec<_> = broker.payloads().iter().map(|one| one[14..15].to_owned()).collect();
    assert_eq!(played, ["a", "c", "b", "a", "b"]);
}

#[tokio::test]
async fn a_bad_row_is_named_before_anything_is_sent() {
    for (text, line, part) in [
        ("t,v\n1,2\nyesterday,3\n", 3, "\"yesterday\" as a time"),
        ("t,v\n1,2\n2,\"3\n\"\n2,3,4\n", 5, "3 cells, but the header names 2"),
        ("t,v,v\n1,2,3\n", 1, "\"v\" is empty or not the only one"),
        ("t;v\n1;2\n", 1, "separated by commas"),
        ("", 1, "no metrics"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), "bad.csv", text);
        write(directory.path(), "a_good_one.csv", "t,v\n1,2\n");
        let broker = Broker::start(Behaviour::default()).await;
        let error = replay(&broker, directory.path(), None).await.unwrap_err();
        assert_eq!(error.exit_code(), 2);
        let text = error.to_string();
        assert!(text.contains(&format!("bad.csv:{line}: ")) && text.contains(part), "{text}");
        assert_eq!(broker.received(), []);
    }
}

#[tokio::test]
async fn what_cannot_be_played_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(Behaviour::default()).await;
    let missing = replay(&broker, &directory.path().join("nowhere.csv"), None).await.unwrap_err();
    assert!(missing.to_string().contains("nowhere.csv"), "{missing}");
    let none = replay(&broker, directory.path(), None).await.unwrap_err();
    assert!(none.to_string().contains("no *.csv below"), "{none}");
    write(directory.path(), "one/same.csv", "t,v\n1,2\n");
    let slow = replay(&broker, directory.path(), Some(0.0)).await.unwrap_err();
    assert!(slow.to_string().contains("speed 0"), "{slow}");
    write(directory.path(), "two/same.csv", "t,v\n1,2\n");
    let twice = replay(&broker, directory.path(), None).await.unwrap_err();
    assert!(twice.to_string().contains("same name"), "{twice}");
    for error in [missing, none, slow, twice] {
        assert_eq!(error.exit_code(), 2, "{error}");
    }
}

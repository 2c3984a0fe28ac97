//! Files are read again while devices publish.

use std::fs;

use serde_json::{Value, json};
use tests::{Child, Site, lake, until};

use crate::{QUICK, quarantine::publish};

const TOPOLOGY: &str = "
topics:
  - pattern: devices/{device}
    schema: state.json
    transform:
      time: received
      tags: { site: { table: site } }
devices: { table: devices.csv }
";

struct Plant {
    site: Site,
    up: Child,
}

impl Plant {
    fn start(groups: &str) -> Self {
        let site = Site::new(&format!("{TOPOLOGY}{groups}{QUICK}"));
        let plant = |name: &str, text: &str| fs::write(site.path(name), text).unwrap();
        plant("state.json", r#"{"properties": {"metrics": {"maxProperties": 1}}}"#);
        plant("devices.csv", "device_id,site\npump,hall\n");
        let up = site.up();
        Self { site, up }
    }

    /// At once: who looks after it now and then must not find half of it.
    fn write(&self, name: &str, text: &str) {
        let new = self.site.path("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.site.path(name)).unwrap();
    }

    /// Publishes a message of `pump`.
    fn publish(&self, metrics: Value) {
        publish(&self.site, &[("devices/pump", json!({ "metrics": metrics }).to_string().into_bytes())]);
    }

    /// Waits until `stage` has dealt with so many messages.
    fn wait(&self, stage: &str, messages: u64) {
        until(&format!("{stage} has dealt with {messages} messages"), || {
            let books = &self.site.queues()["books"][stage];
            let rows = |fate: &str| books[fate].as_u64().unwrap_or_default();
            rows("consumed") + rows("quarantined") == messages
        });
    }

    /// Ends it, and returns metric and tag of all readings in the order of publishing, then the reasons of refusals.
    fn end(self) -> (Vec<[Value; 2]>, Vec<Value>) {
        self.up.terminate();
        self.up.ended().well();
        let rows = |sql: &str| lake::query(&self.site.lake(), sql);
        let readings = rows("SELECT metric, tag_site FROM 'readings/**/*.parquet' ORDER BY message");
        let refused = match self.site.lake().join("quarantine").exists() {
            true => rows("SELECT reason FROM 'quarantine/**/*.parquet' ORDER BY message"),
            false => Vec::new(),
        };
        (
            readings.iter().map(|row| [row["metric"].clone(), row["tag_site"].clone()]).collect(),
            refused.iter().map(|row| row["reason"].clone()).collect(),
        )
    }
}

#[test]
fn a_schema_is_read_again_on_sighup_and_a_broken_one_is_not_taken_up() {
    read_schema_again("");
}

#[test]
fn a_schema_is_read_again_within_a_hop() {
    read_schema_again("groups: [[validate, transform]]\n");
}

fn read_schema_again(groups: &str) {
    let plant = Plant::start(groups);
    plant.publish(json!({ "a": 1, "b": 2 }));
    plant.write("state.json", r#"{"properties": {"metrics": {"maxProperties": 2}}}"#);
    plant.publish(json!({ "a": 1, "c": 3 }));
    plant.wait("validate", 2);

    plant.up.hang_up();
    let said = plant.up.says("read again and in force");
    assert!(said.contains("stage=validate") && said.contains("before=") && said.contains("now="), "{said}");
    plant.publish(json!({ "a": 1, "d": 4 }));
    plant.wait("validate", 3);

    plant.write("state.json", "{\n  \"properties\": 5,\n");
    plant.up.hang_up();
    let said = plant.up.says("not taken up");
    let file = plant.site.path("state.json");
    for part in ["millstream.yaml:4:13: topics[0].schema", file.to_str().unwrap(), "line 3 column 0"] {
        assert!(said.contains(part), "{said} lacks {part}");
    }
    plant.publish(json!({ "a": 1, "e": 5 }));
    plant.publish(json!({ "a": 1, "e": 5, "f": 6 }));

    let (readings, refused) = plant.end();
    let metrics: Vec<_> = readings.iter().map(|[metric, _]| metric.as_str().unwrap()).collect();
    assert_eq!(metrics, ["a", "d", "a", "e"], "what the second schema allows");
    assert_eq!(refused, ["schema"; 3]);
}

#[test]
fn tags_follow_the_device_table_and_a_broken_one_is_not_taken_up() {
    follow_table("");
}

#[test]
fn tags_follow_the_device_table_within_a_hop() {
    follow_table("groups: [[validate, transform]]\n");
}

fn follow_table(groups: &str) {
    let plant = Plant::start(groups);
    plant.publish(json!({ "a": 1 }));
    plant.wait("transform", 1);

    plant.write("devices.csv", "device_id,site\npump,roof\nfan,roof\n");
    let said = plant.up.says("read again and in force");
    assert!(said.contains("stage=transform"), "{said}");
    plant.publish(json!({ "b": 1 }));
    plant.wait("transform", 2);

    plant.write("devices.csv", "device_id,site\npump,cellar\nfan\n");
    let said = plant.up.says("not taken up");
    let place = format!("{}:3: site: the row has 1 cells", plant.site.path("devices.csv").display());
    assert!(said.contains(&place), "{said}");
    plant.publish(json!({ "c": 1 }));

    let (readings, refused) = plant.end();
    assert_eq!(readings, [["a", "hall"], ["b", "roof"], ["c", "roof"]].map(|row| row.map(Value::from)));
    assert_eq!(refused, [""; 0]);
}

#[test]
fn a_process_without_such_stages_goes_on() {
    let site = Site::new(QUICK);
    let store = site.run(&["store"]);
    store.hang_up();
    store.says("no stage of this process reads any");
    store.terminate();
    store.ended().well();
}

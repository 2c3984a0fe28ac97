//! `docs/payloads.md` and the gateway of the examples: their topologies, and the readings that they show.

use arrow_array::{Array, DictionaryArray, StringArray, types::Int32Type};
use chrono::{DateTime, SecondsFormat};
use stages::{
    frame::{Frame, Readings},
    plan::Port,
};

use super::{examples::frame, *};

/// What a message becomes, as lines of time, device, metric, value and unit; one line when it is refused.
fn readings(config: &Config, topic: &str, payload: &str) -> Vec<String> {
    let stages = config.stages();
    let mut plan = stages.validate.plan(&frame(&[(topic, payload)])).unwrap();
    assert_eq!(plan.counts.quarantined, 0, "{payload} on {topic}");
    plan = stages.transform.plan(&plan.publish.remove(0).1).unwrap();
    assert_eq!(plan.counts.quarantined, 0, "{payload} on {topic}");
    let frames = plan.publish.iter().filter(|(port, _)| *port == Port::Next);
    let mut lines: Vec<String> = frames.flat_map(|(_, frame)| lines(frame)).collect();
    lines.sort();
    lines
}

fn lines(frame: &Frame) -> Vec<String> {
    let rows = Readings::of(frame).unwrap();
    let units = frame.rows.column_by_name("unit").unwrap();
    let units: &DictionaryArray<Int32Type> = units.as_any().downcast_ref().unwrap();
    let units = units.downcast_dict::<StringArray>().unwrap();
    let line = |(row, unit): (usize, Option<&str>)| {
        let ts = DateTime::from_timestamp_micros(rows.ts(row)).unwrap();
        let ts = ts.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        let value = rows.value(row).map(|value| value.to_string());
        let value = value.or_else(|| rows.text(row).map(|text| format!("{text:?}"))).unwrap();
        let (device, metric) = (rows.devices().get(row).unwrap(), rows.metrics().get(row).unwrap());
        [&ts, device, metric, &value, unit.unwrap_or_default()].join(" ").trim_end().to_owned()
    };
    units.into_iter().enumerate().map(line).collect()
}

/// The fenced blocks of a page: what they are written in, the line of text before, and what is in them.
fn blocks(page: &str) -> Vec<(&str, &str, String)> {
    let (mut blocks, mut before) = (Vec::new(), "");
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let inside: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push((language, before, inside.join("\n")));
        } else if !line.is_empty() {
            before = line;
        }
    }
    blocks
}

#[test]
fn the_page_on_payloads_shows_what_really_comes_of_them() {
    let folder = folder();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/payloads.md");
    let page = fs::read_to_string(page).unwrap();
    let (mut config, mut found, mut shown) = (None, None, 0);
    for (language, before, text) in blocks(&page) {
        match language {
            "yaml" => {
                let read = read(folder.path(), &text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
                assert_eq!(read.warnings(), [], "of {text}");
                config = Some(read);
            }
            "json" => {
                let topic =
                    before.strip_prefix("On `").and_then(|line| line.strip_suffix("`, this payload:"));
                found = Some(readings(config.as_ref().unwrap(), topic.unwrap(), &text));
            }
            "text" => {
                let spaces = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
                let mut expected: Vec<String> = text.lines().map(spaces).collect();
                expected.sort();
                assert_eq!(found.take().unwrap(), expected);
                shown += 1;
            }
            _ => {}
        }
    }
    assert!(shown >= 8, "{shown} payloads are shown");
}

#[test]
fn the_gateway_makes_readings_of_the_messages_that_it_shows() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/gateway.yaml");
    let config = Config::load(Some(&file)).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    let (_, shown) = text.split_once("-m '").unwrap();
    let payload = shown.split_once('\'').unwrap().0.replace("\n#", "");
    assert_eq!(
        readings(&config, "senml/hall-3", &payload),
        [
            "2025-12-31T23:59:00Z urn:dev:mac:0024befffe804ff1 power 0.94 kW",
            "2026-01-01T00:00:00Z urn:dev:mac:0024befffe804ff1 humidity 41.5 %RH",
            "2026-01-01T00:00:00Z urn:dev:mac:0024befffe804ff1 temperature 21.4 Cel",
        ]
    );
    let mut comments = text.lines().filter_map(|line| line.strip_prefix("  # {"));
    let mut comment = || format!("{{{}", comments.next().unwrap());
    let rows = readings(&config, "loggers/l-4/rows", &comment());
    assert_eq!(rows[0], "2025-12-31T23:59:00Z l-4 level 108 cm");
    assert_eq!(rows.len(), 4);
    let rows = readings(&config, "vibration/v-9", &comment());
    assert_eq!(
        rows,
        [
            "2026-01-01T00:00:00.010Z v-9 vibration -0.0980665 m/s2",
            "2026-01-01T00:00:00Z v-9 vibration 0.196133 m/s2"
        ]
    );
}

//! The configs that come with Millstream, and what becomes of them in careless hands.

use arrow_array::{Array, DictionaryArray, StringArray, types::Int32Type};
use stages::{
    frame::{Frame, FrameId, Header, Kind, Lane, Message, MessagesBuilder, Readings},
    plan::{Plan, Port},
};

use super::*;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name)
}

pub(super) fn frame(messages: &[(&str, &str)]) -> Frame {
    let mut rows = MessagesBuilder::default();
    for (number, (topic, payload)) in messages.iter().enumerate() {
        rows.append(&Message {
            message: number as u64,
            topic,
            payload: payload.as_bytes(),
            received_at: 1_767_225_600_000_000,
            client_id: "",
            properties: &[],
            replays: 0,
        });
    }
    let header = Header {
        id: FrameId([1; 16]),
        kind: Kind::Messages,
        lane: Lane(0),
        created_at: 0,
        epoch: 1,
        trace: None,
    };
    rows.finish(header).unwrap()
}

/// The frame that `plan` publishes on `port`.
fn published(plan: Plan, port: Port) -> Frame {
    let mut frames = plan.publish.into_iter().filter(|(to, _)| *to == port);
    frames.next().unwrap().1
}

fn tag<'a>(frame: &'a Frame, column: &str, row: usize) -> &'a str {
    let column = frame.rows.column_by_name(column).unwrap();
    let column: &DictionaryArray<Int32Type> = column.as_any().downcast_ref().unwrap();
    column.downcast_dict::<StringArray>().unwrap().into_iter().nth(row).unwrap().unwrap()
}

#[test]
fn the_factory_makes_readings_of_the_message_that_it_shows() {
    let config = Config::load(Some(&example("factory.yaml"))).unwrap();
    let text = fs::read_to_string(example("factory.yaml")).unwrap();
    let (_, shown) = text.split_once("-m '").unwrap();
    let payload = shown.split_once('\'').unwrap().0.replace("\n#", "");
    let meter = r#"{"meter": {"id": "m-1", "power_w": 420.5, "energy_wh": 9000}}"#;
    let input = frame(&[("north/paint-2/oven-7/state", &payload), ("meters", meter), ("meters", "{}")]);

    let plan = config.stages().validate.plan(&input).unwrap();
    assert_eq!((plan.counts.consumed, plan.counts.quarantined), (2, 1));
    let valid = published(plan, Port::Next);
    let plan = config.stages().transform.plan(&valid).unwrap();
    assert_eq!((plan.counts.consumed, plan.counts.quarantined), (2, 0));
    let mut found = Vec::new();
    for (_, frame) in plan.publish {
        let readings = Readings::of(&frame).unwrap();
        for row in 0..readings.len() {
            let (device, metric) =
                (readings.devices().get(row).unwrap(), readings.metrics().get(row).unwrap());
            let building = tag(&frame, "tag_building", row);
            found.push(format!("{device} {metric} {:?} {building}", readings.value(row).unwrap()));
        }
    }
    found.sort();
    assert_eq!(
        found,
        [
            "m-1 energy 9000.0 substation",
            "m-1 power 420.5 substation",
            "oven-7 door_open 0.0 paint shop",
            "oven-7 pressure 2.1 paint shop",
            "oven-7 temperature 181.5 paint shop",
        ]
    );
}

#[test]
fn a_broker_is_asked_for_what_the_patterns_take() {
    let config = Config::load(Some(&example("broker.yaml"))).unwrap();
    let subscriber = config.topology().ingest.subscriber.as_ref().unwrap();
    assert_eq!(subscriber.password, Some(Secret::Env("BROKER_PASSWORD".into())));
    assert_eq!(config.stages().topics.patterns()[0].filter(), "devices/+/telemetry");
}

#[test]
fn history_is_remembered_for_the_decades_that_it_spans() {
    let config = Config::load(Some(&example("replay.yaml"))).unwrap();
    assert!(config.topology().analyze.dedupe_secs > 30 * 365 * 86_400);
    let transform = config.topology().topics[0].transform.as_ref().unwrap();
    assert_eq!(transform.min_time, None);
}

/// Whatever a slip of the hand makes of a config, the answer is a line of the file, and never a panic.
#[test]
fn every_slip_is_answered_with_a_place_in_the_file() {
    let folder = folder();
    let text = fs::read_to_string(example("factory.yaml")).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let slips: [fn(&str) -> String; 6] = [
        |_| String::new(),
        |line| format!("  {line}"),
        |line| format!("{line}\n{line}"),
        |line| line.replacen(':', "", 1),
        |line| line.replacen(": ", ": [", 1),
        |line| line.replacen(char::is_alphabetic, "", 1),
    ];
    for (number, line) in lines.iter().enumerate() {
        for slip in slips {
            let slipped = slip(line);
            let mut lines = lines.clone();
            lines[number] = &slipped;
            let yaml = lines.join("\n");
            let Err(errors) = read(folder.path(), &yaml) else { continue };
            assert!(!errors.mistakes.is_empty());
            for mistake in errors.mistakes {
                let place = mistake.place.unwrap();
                assert!(place.line <= yaml.lines().count() + 1, "{mistake}\n{yaml}");
                assert!(!mistake.message.contains("cannot be read"), "{mistake}\n{yaml}");
            }
        }
    }
}

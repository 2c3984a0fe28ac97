use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value as Json;

use super::{Faults, FleetOptions, Planned, Share};
use crate::message::Expected;

const END: Duration = Duration::MAX;

fn start() -> DateTime<Utc> {
    "2026-01-01T00:00:00.0000005Z".parse().unwrap()
}

fn options(faults: &str) -> FleetOptions {
    FleetOptions {
        devices: 10,
        samples: 1,
        spacing: Duration::from_millis(20),
        start: start(),
        seed: 42,
        faults: faults.parse().unwrap(),
    }
}

fn fleet(faults: &str, messages: u64) -> Vec<Planned> {
    Share::new(options(faults), 0, 1, messages, END).collect()
}

/// The payloads of each topic, in order.
fn by_topic(planned: impl IntoIterator<Item = Planned>) -> BTreeMap<String, Vec<String>> {
    let mut topics = BTreeMap::<_, Vec<_>>::new();
    for Planned { publish, .. } in planned {
        topics.entry(publish.topic.to_string()).or_default().push(publish.payload);
    }
    topics
}

fn seqs(payloads: &[String]) -> Vec<u64> {
    payloads.iter().filter_map(|payload| Some(Expected::of(payload)?.seq)).collect()
}

#[test]
fn a_seed_gives_the_same_fleet() {
    assert_eq!(fleet("default", 3000), fleet("default", 3000));
    let other = Share::new(FleetOptions { seed: 43, ..options("default") }, 0, 1, 3000, END);
    assert_ne!(fleet("default", 3000), other.collect::<Vec<_>>());
}

#[test]
fn a_device_sends_the_same_over_any_number_of_connections() {
    let until = Duration::from_secs(20);
    let whole: Vec<_> = Share::new(options("default"), 0, 1, u64::MAX, until).collect();
    let parts = (0..3).flat_map(|part| Share::new(options("default"), part, 3, u64::MAX, until));
    assert_eq!(by_topic(whole), by_topic(parts));
}

#[test]
fn a_flawless_fleet_counts_and_keeps_its_times() {
    let planned = fleet("none", 100);
    assert_eq!(planned.len(), 100);
    for (slot, Planned { at, publish }) in planned.iter().enumerate() {
        assert_eq!(*at, Duration::from_millis(20) * u32::try_from(slot).unwrap());
        let expected = Expected::of(&publish.payload).unwrap();
        assert_eq!(
            expected.rows[0].ts_micros,
            start().timestamp_micros() + 20_000 * i64::try_from(slot).unwrap()
        );
        assert_eq!((expected.seq, expected.rows.len()), (slot as u64 / 10 + 1, 4));
        assert_eq!(*publish.topic, *format!("devices/dev-{:06}/telemetry", slot % 10));
        assert!(publish.faults.is_empty());
        assert!(publish.payload.contains(r#"Z","seq""#) && !publish.payload.contains("0005Z"), "whole µs");
        assert!((130..170).contains(&publish.payload.len()), "{}", publish.payload);
    }
}

#[test]
fn samples_lie_evenly_between_the_messages() {
    let collecting = FleetOptions { samples: 4, ..options("none") };
    let planned: Vec<_> = Share::new(collecting, 0, 1, 50, END).collect();
    let of_one = planned.into_iter().filter(|one| one.publish.topic.contains("000003"));
    let times: Vec<i64> = of_one
        .flat_map(|one| Expected::of(&one.publish.payload).unwrap().rows)
        .filter(|row| row.metric == "battery")
        .map(|row| row.ts_micros - start().timestamp_micros())
        .collect();
    // Its device sends every 200 ms, the first time after 60.
    let every: Vec<i64> = (0..20).map(|sample| 60_000 + 50_000 * (sample - 3)).collect();
    assert_eq!(times, every);
}

#[test]
fn faults_break_messages_of_many_samples_too() {
    for faults in ["malformed=1", "schema=1"] {
        let collecting = FleetOptions { samples: 3, ..options(faults) };
        for planned in Share::new(collecting, 0, 1, 500, END) {
            assert_eq!(Expected::of(&planned.publish.payload), None, "{planned:?}");
        }
    }
}

#[test]
fn it_ends_with_its_time() {
    let planned: Vec<_> = Share::new(options("none"), 0, 1, u64::MAX, Duration::from_secs(1)).collect();
    assert_eq!(planned.len(), 50);
}

#[test]
fn values_are_plausible_and_follow_the_day() {
    let spacing = Duration::from_secs(60);
    let day = FleetOptions { devices: 1, spacing, ..options("none") };
    let mut temperatures = Vec::new();
    for planned in Share::new(day, 0, 1, 24 * 60, END) {
        let json: Json = serde_json::from_str(&planned.publish.payload).unwrap();
        let metric = |name: &str| json["metrics"][name].as_f64().unwrap();
        assert!((5.0..=100.0).contains(&metric("humidity")));
        assert!((970.0..1060.0).contains(&metric("pressure")));
        assert!((0.0..=100.0).contains(&metric("battery")));
        temperatures.push(metric("temperature"));
    }
    let mean = |hour: usize| temperatures[hour * 60..][..60].iter().sum::<f64>() / 60.0;
    assert!(mean(15) > mean(3) + 1.0, "the afternoon is warmer than the night");
    let steps = temperatures.windows(2).map(|pair| (pair[1] - pair[0]).abs());
    assert!(steps.fold(0.0, f64::max) < 3.0, "no jump in a minute");
}

#[test]
fn malformed_is_no_json_and_schema_breaks_the_shape() {
    for planned in fleet("malformed=1", 2000) {
        assert!(serde_json::from_str::<Json>(&planned.publish.payload).is_err(), "{planned:?}");
        assert_eq!(planned.publish.faults, ["malformed"]);
    }
    let mut shapes = BTreeSet::new();
    for planned in fleet("schema=1", 2000) {
        let json: Json = serde_json::from_str(&planned.publish.payload).unwrap();
        assert_eq!(Expected::of(&planned.publish.payload), None, "{planned:?}");
        assert!(json["device_id"].is_string());
        let temperature = &json["metrics"]["temperature"];
        shapes.insert((json["ts"].is_null(), json["metrics"].is_null(), temperature.is_array()));
    }
    assert_eq!(shapes.len(), 4, "no time, no metrics, metrics a list, a metric a list");
}

#[test]
fn skew_is_two_hours_back_or_three_days_ahead() {
    let mut offsets = BTreeSet::new();
    for planned in fleet("skew=1", 200) {
        let expected = Expected::of(&planned.publish.payload).unwrap();
        let offset = expected.rows[0].ts_micros - (start() + planned.at).timestamp_micros();
        offsets.insert(offset);
    }
    let micros = |delta: TimeDelta| delta.num_microseconds().unwrap();
    assert_eq!(offsets, BTreeSet::from([-micros(TimeDelta::hours(2)), micros(TimeDelta::days(3))]));
}

#[test]
fn a_repeat_is_the_very_same_message_after_the_first() {
    let planned = fleet("repeat=0.3", 1000);
    assert!(planned.len() > 1200);
    let mut seen = HashMap::new();
    for Planned { publish, .. } in &planned {
        let times = seen.entry(&publish.payload).or_insert(0);
        assert_eq!(publish.faults == ["repeat"], *times == 1, "the label is on the copy");
        *times += 1;
    }
    assert_eq!(seen.len(), 1000);
    assert!(seen.values().all(|times| *times <= 2));
}

#[test]
fn disorder_swaps_neighbours_and_late_waits_longer() {
    let back_steps = |faults| {
        let topics = by_topic(fleet(faults, 5000));
        let seqs: Vec<Vec<u64>> = topics.values().map(|payloads| seqs(payloads)).collect();
        for seqs in &seqs {
            let all: BTreeSet<u64> = seqs.iter().copied().collect();
            assert_eq!((all.len(), all.last()), (500, Some(&500)), "nothing is lost or repeated");
        }
        let steps = seqs.iter().flat_map(|seqs| seqs.windows(2).map(|pair| pair[0].saturating_sub(pair[1])));
        steps.filter(|step| *step > 0).collect::<Vec<_>>()
    };
    assert_eq!(back_steps("none"), [0u64; 0]);
    let swapped = back_steps("disorder=0.05");
    assert!(swapped.len() > 100 && swapped.iter().all(|step| *step <= 3), "{swapped:?}");
    // Its device measures every 200 ms: 2 to 10 seconds are 10 to 50 messages.
    let late = back_steps("late=0.01");
    assert!(late.len() > 20, "{late:?}");
    assert!(late.iter().filter(|step| (8..=60).contains(*step)).count() * 10 >= late.len() * 8, "{late:?}");
}

#[test]
fn silence_is_a_gap_in_time_but_not_in_the_sequence() {
    let planned = fleet("silence=0.01", 2000);
    assert_eq!(planned.len(), 2000);
    let mut last = HashMap::new();
    let mut gaps = 0;
    for Planned { at, publish } in &planned {
        let seq = Expected::of(&publish.payload).unwrap().seq;
        let (before, at_before) = last.insert(&publish.topic, (seq, *at)).unwrap_or((0, *at));
        assert_eq!(seq, before + 1);
        let silent = *at - at_before > Duration::from_millis(200);
        assert!(!silent || publish.faults == ["silence"]);
        gaps += u32::from(silent);
    }
    assert!(gaps > 5);
}

#[test]
fn wrong_values_carry_the_label_of_their_metric() {
    let flawless = fleet("none", 1000);
    for fault in ["spike", "drift", "stuck"] {
        let mut labels = BTreeSet::new();
        let planned = fleet(&format!("{fault}=0.02"), 1000);
        let labelled: Vec<_> = planned.iter().filter(|planned| !planned.publish.faults.is_empty()).collect();
        for one in &labelled {
            let [label] = one.publish.faults.as_slice() else { panic!("{one:?}") };
            labels.insert(label.clone());
        }
        let names = ["temperature", "humidity", "pressure", "battery"].map(|name| format!("{fault}:{name}"));
        assert_eq!(labels, BTreeSet::from(names));
        assert_eq!(planned.len(), flawless.len());
    }
}

#[test]
fn fault_lists_are_read_and_checked() {
    let faults: Faults = "late=0.25,malformed=1".parse().unwrap();
    assert_eq!(faults.to_string(), "malformed=1,late=0.25");
    assert_eq!("none".parse::<Faults>().unwrap().to_string(), "none");
    assert_eq!(Faults::default().to_string().parse(), Ok(Faults::default()));
    for (text, part) in [
        ("", "\"\" is no fault"),
        ("late", "\"late\" is no fault"),
        ("sneeze=0.1", "unknown fault \"sneeze\""),
        ("late=1.5", "from 0 to 1"),
        ("late=NaN", "from 0 to 1"),
        ("late=0.6,repeat=0.6", "repeat, disorder, late"),
    ] {
        let error = text.parse::<Faults>().unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }
}

//! The packs of RFC 8428, section 5.1, as they stand there, and what readings come of them.

use proptest::prelude::*;
use serde_json::json;

use super::{Transform, check_refused, rows, stage};

/// 2010-06-08T18:01:16.001Z, 2011-10-31T13:24:24Z and 2011-10-31T16:27:09Z, in seconds.
const JUNE: f64 = 1_276_020_076.001;
const MOBILE: f64 = 1_320_067_464.0;
const QUERY: f64 = 1_320_078_429.0;
/// In seconds, too.
const NOW: f64 = super::RECEIVED as f64 / 1e6;

const SENSOR: &str = "urn:dev:ow:10e2073a01080063";

/// A topic that says nothing of the device.
fn named() -> Transform {
    stage("senml", json!({ "preset": "senml" }))
}

fn by_topic() -> Transform {
    stage("devices/{device}", json!({ "preset": "senml" }))
}

#[track_caller]
fn check_at(stage: &Transform, topic: &str, payload: &str, expected: &[(f64, String)]) {
    let found = rows(stage, topic, payload).unwrap();
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for ((reading, ms, seq), (secs, text)) in found.iter().zip(expected) {
        assert_eq!((reading, seq), (text, &None));
        // As microseconds, which is what is stored.
        assert_eq!((ms * 1e3).round(), ((secs - NOW) * 1e6).round(), "{reading}");
    }
}

#[track_caller]
fn check(payload: &str, expected: &[(f64, String)]) {
    check_at(&named(), "senml", payload, expected);
}

#[test]
fn section_5_1_1_single_data_point() {
    let pack = r#"[ {"n":"urn:dev:ow:10e2073a01080063","u":"Cel","v":23.1} ]"#;
    check(pack, &[(NOW, format!("{SENSOR} Cel=23.1 Cel"))]);
}

#[test]
fn section_5_1_2_multiple_data_points() {
    let pack = r#"[
        {"bn":"urn:dev:ow:10e2073a01080063:","n":"voltage","u":"V","v":120.1},
        {"n":"current","u":"A","v":1.2} ]"#;
    check(pack, &[(NOW, format!("{SENSOR} voltage=120.1 V")), (NOW, format!("{SENSOR} current=1.2 A"))]);
    let pack = r#"[
        {"bn":"urn:dev:ow:10e2073a0108006:","bt":1.276020076001e+09, "bu":"A","bver":5,
         "n":"voltage","u":"V","v":120.1},
        {"n":"current","t":-5,"v":1.2},
        {"n":"current","t":-4,"v":1.3},
        {"n":"current","t":-3,"v":1.4},
        {"n":"current","t":-2,"v":1.5},
        {"n":"current","t":-1,"v":1.6},
        {"n":"current","v":1.7} ]"#;
    let device = "urn:dev:ow:10e2073a0108006";
    let current = |before: f64, value: f64| (JUNE - before, format!("{device} current={value:?} A"));
    check(
        pack,
        &[
            current(5.0, 1.2),
            current(4.0, 1.3),
            current(3.0, 1.4),
            current(2.0, 1.5),
            current(1.0, 1.6),
            (JUNE, format!("{device} voltage=120.1 V")),
            current(0.0, 1.7),
        ],
    );
    // The beginning of a stream, closed.
    let pack = r#"[
        {"bn":"urn:dev:ow:10e2073a01080063","bt":1.320067464e+09, "bu":"%RH","v":21.2},
        {"t":10,"v":21.3},
        {"t":20,"v":21.4} ]"#;
    let humidity = |after: f64, value: f64| (MOBILE + after, format!("{SENSOR} %RH={value:?} %RH"));
    check(pack, &[humidity(0.0, 21.2), humidity(10.0, 21.3), humidity(20.0, 21.4)]);
}

#[test]
fn section_5_1_3_multiple_measurements_and_5_1_4_the_same_resolved() {
    let pack = r#"[
        {"bn":"urn:dev:ow:10e2073a01080063","bt":1.320067464e+09, "bu":"%RH","v":20},
        {"u":"lon","v":24.30621}, {"u":"lat","v":60.07965},
        {"t":60,"v":20.3}, {"u":"lon","t":60,"v":24.30622}, {"u":"lat","t":60,"v":60.07965},
        {"t":120,"v":20.7}, {"u":"lon","t":120,"v":24.30623}, {"u":"lat","t":120,"v":60.07966},
        {"u":"%EL","t":150,"v":98},
        {"t":180,"v":21.2}, {"u":"lon","t":180,"v":24.30628}, {"u":"lat","t":180,"v":60.07967} ]"#;
    let resolved = r#"[
        {"n":"urn:dev:ow:10e2073a01080063","u":"%RH","t":1.320067464e+09, "v":20},
        {"n":"urn:dev:ow:10e2073a01080063","u":"lon","t":1.320067464e+09, "v":24.30621},
        {"n":"urn:dev:ow:10e2073a01080063","u":"lat","t":1.320067464e+09, "v":60.07965},
        {"n":"urn:dev:ow:10e2073a01080063","u":"%RH","t":1.320067524e+09, "v":20.3},
        {"n":"urn:dev:ow:10e2073a01080063","u":"lon","t":1.320067524e+09, "v":24.30622},
        {"n":"urn:dev:ow:10e2073a01080063","u":"lat","t":1.320067524e+09, "v":60.07965},
        {"n":"urn:dev:ow:10e2073a01080063","u":"%RH","t":1.320067584e+09, "v":20.7},
        {"n":"urn:dev:ow:10e2073a01080063","u":"lon","t":1.320067584e+09, "v":24.30623},
        {"n":"urn:dev:ow:10e2073a01080063","u":"lat","t":1.320067584e+09, "v":60.07966},
        {"n":"urn:dev:ow:10e2073a01080063","u":"%EL","t":1.320067614e+09, "v":98},
        {"n":"urn:dev:ow:10e2073a01080063","u":"%RH","t":1.320067644e+09, "v":21.2},
        {"n":"urn:dev:ow:10e2073a01080063","u":"lon","t":1.320067644e+09, "v":24.30628},
        {"n":"urn:dev:ow:10e2073a01080063","u":"lat","t":1.320067644e+09, "v":60.07967} ]"#;
    let expected = [
        (0.0, "%RH", 20.0),
        (0.0, "lon", 24.306_21),
        (0.0, "lat", 60.079_65),
        (60.0, "%RH", 20.3),
        (60.0, "lon", 24.306_22),
        (60.0, "lat", 60.079_65),
        (120.0, "%RH", 20.7),
        (120.0, "lon", 24.306_23),
        (120.0, "lat", 60.079_66),
        (150.0, "%EL", 98.0),
        (180.0, "%RH", 21.2),
        (180.0, "lon", 24.306_28),
        (180.0, "lat", 60.079_67),
    ];
    let expected =
        expected.map(|(after, unit, value)| (MOBILE + after, format!("{SENSOR} {unit}={value:?} {unit}")));
    check(pack, &expected);
    check(resolved, &expected);
}

#[test]
fn section_5_1_5_multiple_data_types() {
    let pack = r#"[
        {"bn":"urn:dev:ow:10e2073a01080063:","n":"temp","u":"Cel","v":23.1},
        {"n":"label","vs":"Machine Room"},
        {"n":"open","vb":false},
        {"n":"nfc-reader","vd":"aGkgCg"} ]"#;
    check(
        pack,
        &[
            (NOW, format!("{SENSOR} temp=23.1 Cel")),
            (NOW, format!("{SENSOR} label=\"Machine Room\"")),
            (NOW, format!("{SENSOR} open=0.0")),
            (NOW, format!("{SENSOR} nfc-reader=\"aGkgCg\"")),
        ],
    );
}

#[test]
fn section_5_1_6_collection_of_resources() {
    let pack = r#"[
        {"bn":"2001:db8::2/","bt":1.320078429e+09, "n":"temperature","u":"Cel","v":25.2},
        {"n":"humidity","u":"%RH","v":30},
        {"bn":"2001:db8::1/","n":"temperature","u":"Cel","v":12.3},
        {"n":"humidity","u":"%RH","v":67} ]"#;
    let expected = [
        "2001:db8::2 temperature=25.2 Cel",
        "2001:db8::2 humidity=30.0 %RH",
        "2001:db8::1 temperature=12.3 Cel",
        "2001:db8::1 humidity=67.0 %RH",
    ];
    check(pack, &expected.map(|reading| (QUERY, reading.to_owned())));
}

#[test]
fn section_5_1_7_setting_an_actuator() {
    let pack = r#"[
        {"bn":"urn:dev:ow:10e2073a01080063:"},
        {"n":"temp","u":"Cel","v":23.1},
        {"n":"heat","u":"/","v":1},
        {"n":"fan","u":"/","v":0} ]"#;
    let expected = ["temp=23.1 Cel", "heat=1.0 /", "fan=0.0 /"];
    check(pack, &expected.map(|reading| (NOW, format!("{SENSOR} {reading}"))));
    let pack = r#"[
        {"bt":1.320078429e+09,"bu":"/","n":"2001:db8::3","v":1},
        {"n":"2001:db8::4","v":1} ]"#;
    check(pack, &["2001:db8::3 /=1.0 /", "2001:db8::4 /=1.0 /"].map(|reading| (QUERY, reading.to_owned())));
    let pack = r#"[
        {"bt":1.320078429e+09,"bu":"/","n":"2001:db8::3","v":0.5},
        {"n":"2001:db8::4","v":0.5},
        {"n":"2001:db8::3","t":0.1,"v":0},
        {"n":"2001:db8::4","t":0.1,"v":0} ]"#;
    check(
        pack,
        &[
            (QUERY, "2001:db8::3 /=0.5 /".to_owned()),
            (QUERY, "2001:db8::4 /=0.5 /".to_owned()),
            (QUERY + 0.1, "2001:db8::3 /=0.0 /".to_owned()),
            (QUERY + 0.1, "2001:db8::4 /=0.0 /".to_owned()),
        ],
    );
}

#[test]
fn the_device_of_the_topic_goes_before_that_of_the_names() {
    for (device, name, metric) in [
        (SENSOR, r#""bn":"urn:dev:ow:10e2073a01080063:","n":"voltage""#, "voltage"),
        ("10e2073a01080063", r#""bn":"urn:dev:ow:10e2073a01080063:","n":"voltage""#, "voltage"),
        ("boiler", r#""n":"boiler/voltage""#, "voltage"),
        ("boiler", r#""bn":"boiler","n":"_voltage""#, "voltage"),
        ("boiler", r#""n":"voltage""#, "voltage"),
        ("boiler", r#""bn":"hall/","n":"voltage""#, "hall/voltage"),
        ("boiler", r#""n":"boiler7""#, "boiler7"),
        ("boiler", r#""n":"hall:boiler:x""#, "hall:boiler:x"),
        ("boiler", r#""bn":"boiler""#, "V"),
        ("boiler", r#""n":"""#, "V"),
    ] {
        let pack = format!(r#"[{{{name},"u":"V","v":1}}]"#);
        check_at(
            &by_topic(),
            &format!("devices/{device}"),
            &pack,
            &[(NOW, format!("{device} {metric}=1.0 V"))],
        );
    }
    check_at(&by_topic(), "devices/d", r#"[{"v":1}]"#, &[(NOW, "d value=1.0".to_owned())]);
}

#[test]
fn base_values_and_sums_are_added() {
    let readings = |pack: &str| {
        let rows = rows(&by_topic(), "devices/d", pack).unwrap();
        rows.into_iter().map(|(reading, ..)| reading).collect::<Vec<_>>()
    };
    for (pack, expected) in [
        (
            r#"[{"bv":20,"n":"a","v":0.5},{"n":"a","t":1},{"n":"b","vs":"x"}]"#,
            vec!["d a=20.5", "d b=\"x\"", "d a=20.0"],
        ),
        (r#"[{"n":"a","u":"W","v":1,"s":2}]"#, vec!["d a=1.0 W", "d a.sum=2.0 W.s"]),
        (r#"[{"n":"a","u":"W","s":2}]"#, vec!["d a.sum=2.0 W.s"]),
        (
            r#"[{"bs":10,"n":"a","s":2},{"n":"b","v":1},{"n":"c","vb":true}]"#,
            vec!["d a.sum=12.0", "d b=1.0", "d b.sum=10.0", "d c=1.0"],
        ),
        (r#"[{"bs":10,"bv":1},{"n":"a"}]"#, vec!["d a=1.0", "d a.sum=10.0"]),
        (
            r#"[{"bu":"V","n":"a","v":1},{"n":"b","u":"A","v":2},{"bu":"","n":"c","v":3}]"#,
            vec!["d a=1.0 V", "d b=2.0 A", "d c=3.0"],
        ),
        (r#"[{"n":"a","v":9007199254740993}]"#, vec!["d a=\"9007199254740993\""]),
        (r#"[{"n":"a","v":1,"vs":null,"ut":5,"other":{}}]"#, vec!["d a=1.0"]),
        (
            r#"[{"bver":26,"n":"a","u":"kWh","v":1},{"bver":26,"n":"b","v":1}]"#,
            vec!["d a=1.0 kWh", "d b=1.0"],
        ),
    ] {
        assert_eq!(readings(pack), expected, "{pack}");
    }
}

#[test]
fn small_times_count_from_the_receipt() {
    for (time, expected) in [
        (r#""t":0"#, NOW),
        (r#""t":-90.5"#, NOW - 90.5),
        (r#""bt":-10,"t":-0.000001"#, NOW - 10.000_001),
        (r#""t":86400"#, NOW + 86_400.0),
        (r#""t":268435456"#, 268_435_456.0),
        (r#""bt":268435450,"t":6"#, 268_435_456.0),
        (r#""bt":1.276020076001e+09,"t":-1e-3"#, 1_276_020_076.0),
    ] {
        check(&format!(r#"[{{"n":"d","v":1,{time}}}]"#), &[(expected, "d value=1.0".to_owned())]);
    }
}

#[test]
fn what_is_no_pack_is_refused_with_its_record() {
    let stage = by_topic();
    for (pack, reason, pointer) in [
        ("{}", "not_senml", ""),
        ("7", "not_senml", ""),
        ("[1]", "not_senml", "/0"),
        ("[]", "no_readings", ""),
        (r#"[{"bn":"d"}]"#, "no_readings", ""),
        (r#"[{"n":"a","v":1},{"n":"a","v":1,"x_":0}]"#, "not_senml", "/1/x_"),
        (r#"[{"n":"a","v":1,"bx_":null}]"#, "not_senml", "/0/bx_"),
        (r#"[{"n":"a","v":1,"bver":11}]"#, "not_senml", "/0/bver"),
        (r#"[{"n":"a","v":1,"bver":27}]"#, "not_senml", "/0/bver"),
        (r#"[{"n":"a","v":1,"bver":-1}]"#, "not_senml", "/0/bver"),
        (r#"[{"n":"a","v":1,"bver":10},{"n":"a","v":1,"bver":9}]"#, "not_senml", "/1/bver"),
        (r#"[{"n":"a b","v":1}]"#, "not_senml", "/0/n"),
        (r#"[{"n":"-a","v":1}]"#, "not_senml", "/0/n"),
        (r#"[{"bn":"ü","n":"a","v":1}]"#, "not_senml", "/0/bn"),
        (r#"[{"bn":"/d","n":"a","v":1}]"#, "not_senml", "/0/bn"),
        (r#"[{"bn":7,"n":"a","v":1}]"#, "bad_value", "/0/bn"),
        (r#"[{"n":"a","v":"1"}]"#, "bad_value", "/0/v"),
        (r#"[{"n":"a","vb":1}]"#, "bad_value", "/0/vb"),
        (r#"[{"n":"a","vd":{}}]"#, "bad_value", "/0/vd"),
        (r#"[{"n":"a","v":1,"vs":"x"}]"#, "bad_value", "/0"),
        (r#"[{"n":"a","u":"V"}]"#, "bad_value", "/0"),
        (r#"[{"n":"a","v":1e999}]"#, "bad_value", "/0/v"),
        (r#"[{"bv":1e308,"n":"a","v":1e308}]"#, "bad_value", "/0/v"),
        (r#"[{"bs":1e999,"n":"a","v":1}]"#, "bad_value", "/0/bs"),
        (r#"[{"n":"a","v":1,"t":"now"}]"#, "bad_value", "/0/t"),
        (r#"[{"n":"a","v":1,"t":86401}]"#, "future_time", "/0/t"),
        (r#"[{"n":"a","v":1,"bt":4e9}]"#, "future_time", "/0/bt"),
        (r#"[{"n":"a","v":1,"t":-1e12}]"#, "bad_time", "/0/t"),
    ] {
        check_refused(&stage, pack, reason, pointer);
    }
    let refused = super::outcome(&named(), "senml", r#"[{"n":"a","v":1},{"n":"","v":1}]"#);
    assert_eq!(refused, Err(("no_device".to_owned(), "/1".to_owned())));
    let few = self::stage("devices/{device}", json!({ "preset": "senml", "samples_max": 1 }));
    check_refused(&few, r#"[{"n":"a","v":1},{"n":"a","v":2}]"#, "too_many_samples", "");
}

#[test]
fn devices_of_one_pack_go_to_their_lanes_and_dropped_metrics_are_filtered() {
    use crate::frame::{Lane, Readings};
    let transform = json!({ "preset": "senml", "drop": ["debug"], "rename": { "v.sum": "total" } });
    let stage = Transform::new(&[super::topic("#", transform)], 4).unwrap();
    let records: Vec<String> =
        (0..40).map(|device| format!(r#"{{"bn":"d{device}:","n":"v","s":1}}"#)).collect();
    let plan = stage.plan(&super::frame(&[("t", &format!("[{}]", records.join(",")))])).unwrap();
    assert_eq!((plan.counts.consumed, plan.counts.produced, plan.publish.len()), (1, 40, 4));
    for (_, frame) in &plan.publish {
        let readings = Readings::of(frame).unwrap();
        for row in 0..readings.len() {
            assert_eq!(Lane::of(readings.devices().get(row).unwrap(), 4), frame.header.lane);
            assert_eq!(readings.metrics().get(row), Some("total"));
        }
    }
    let plan = stage.plan(&super::frame(&[("t", r#"[{"bn":"d:","n":"debug","v":1}]"#)])).unwrap();
    assert_eq!((plan.counts.filtered, plan.publish.len()), (1, 0));
}

proptest! {
    /// Whatever stands in a pack, its one message is in the books.
    #[test]
    fn any_pack_has_one_fate(records in prop::collection::vec(record(), 0..4)) {
        for stage in [named(), by_topic()] {
            let pack = format!("[{}]", records.join(","));
            let counts = stage.plan(&super::frame(&[("devices/d", &pack)])).unwrap().counts;
            prop_assert_eq!(counts.consumed + counts.quarantined + counts.filtered, 1);
            prop_assert_eq!(counts.consumed == 1, counts.produced > 0);
        }
    }
}

/// A record with some fields, right and wrong.
fn record() -> impl Strategy<Value = String> {
    let label = prop::sample::select(vec![
        "bn", "bt", "bu", "bv", "bs", "bver", "n", "u", "v", "vs", "vb", "vd", "s", "t", "ut", "x",
    ]);
    let value = prop_oneof![
        4 => "\"[a-z0-9:/._-]{0,4}\"",
        4 => prop::num::f64::NORMAL.prop_map(|number| format!("{number:e}")),
        2 => any::<i64>().prop_map(|number| number.to_string()),
        1 => prop::sample::select(vec!["null", "true", "[]", "10", "\"\\ud800\"", "\"\\/é\""]).prop_map(str::to_owned),
    ];
    prop::collection::vec((label, value), 0..5).prop_map(|fields| {
        let fields: Vec<String> =
            fields.iter().map(|(label, value)| format!("\"{label}\":{value}")).collect();
        format!("{{{}}}", fields.join(","))
    })
}

#[test]
fn each_device_of_a_pack_has_the_tags_of_its_own() {
    use std::sync::Arc;
    let table = super::super::DeviceTable::read("device_id,site\na,hall\nb,roof\n").unwrap();
    let transform = json!({ "preset": "senml", "tags": { "site": { "table": "site" } } });
    let stage = Transform::with_devices(&[super::topic("#", transform)], 1, Some(&Arc::new(table))).unwrap();
    let pack = r#"[{"bn":"a:","n":"m","v":1},{"bn":"x:","n":"m","v":2},{"bn":"b:","n":"m","v":3}]"#;
    let plan = stage.plan(&super::frame(&[("t", pack)])).unwrap();
    let sites = super::column(super::port(&plan, crate::plan::Port::Next).unwrap(), "tag_site");
    assert_eq!(sites, [Some("hall".to_owned()), None, Some("roof".to_owned())]);
}

use serde_json::{Value, json};

use super::{check, check_refused, stage};

fn converted(convert: Value) -> super::Transform {
    stage(
        "devices/{device}",
        json!({ "time": "received", "rename": { "t": "temperature" }, "convert": convert }),
    )
}

#[test]
fn values_become_another_unit_under_their_stored_name() {
    let stage = converted(json!({
        "temperature": { "from": "[degF]", "to": "Cel" },
        "level": { "scale": 0.1, "offset": -40, "unit": "cm" },
        "raw": { "scale": 2 },
    }));
    check(
        &stage,
        r#"{"metrics":{"t":212,"level":1000,"raw":21,"other":0.1}}"#,
        &["d1 temperature=100.0 Cel", "d1 level=60.0 cm", "d1 raw=42.0", "d1 other=0.1"],
    );
}

#[test]
fn only_numbers_are_converted() {
    let stage = converted(json!({ "temperature": { "from": "[degF]", "to": "Cel" } }));
    check(&stage, r#"{"metrics":{"t":"n/a"}}"#, &[r#"d1 temperature="n/a" [degF]"#]);
    check(&stage, r#"{"metrics":{"t":true}}"#, &["d1 temperature=1.0 [degF]"]);
    check(&stage, r#"{"metrics":{"t":9007199254740993}}"#, &[r#"d1 temperature="9007199254740993" [degF]"#]);
}

#[test]
fn what_a_float_cannot_hold_is_refused() {
    let stage = converted(json!({ "temperature": { "from": "bar", "to": "Pa" }, "x": { "scale": 1e300 } }));
    check_refused(&stage, r#"{"metrics":{"ok":1,"t":1e304}}"#, "bad_value", "/metrics/t");
    check_refused(&stage, r#"{"metrics":{"x":-1e10}}"#, "bad_value", "/metrics/x");
}

#[test]
fn the_unit_may_be_said_elsewhere() {
    let by_units = stage(
        "devices/{device}",
        json!({ "time": "received", "units": { "p": "kPa" }, "convert": { "p": { "to": "bar" } } }),
    );
    check(&by_units, r#"{"metrics":{"p":101.325}}"#, &["d1 p=1.01325 bar"]);
    let fields = json!([
        { "metric": "a", "pointer": "/a", "unit": "m3/h" },
        { "metric": "b", "pointer": "/b", "unit": "L/min" },
    ]);
    let by_fields = stage(
        "devices/{device}",
        json!({ "time": "received", "readings": { "fields": fields }, "convert": { "a": { "to": "L/min" } } }),
    );
    check(&by_fields, r#"{"a":3.6,"b":1}"#, &["d1 a=60.0 L/min", "d1 b=1.0 L/min"]);
    let by_records =
        stage("devices/{device}", json!({ "preset": "senml", "convert": { "t": { "to": "Cel" } } }));
    check(
        &by_records,
        r#"[{"bn":"d1:","n":"t","u":"K","v":300},{"n":"t","u":"Cel","v":20.1},{"n":"t","u":"W","v":7},{"n":"t","v":8}]"#,
        &["d1 t=26.85 Cel", "d1 t=20.1 Cel", "d1 t=7.0 W", "d1 t=8.0"],
    );
    let or_from = json!({ "preset": "senml", "convert": { "t": { "from": "[degF]", "to": "Cel" } } });
    check(
        &stage("devices/{device}", or_from),
        r#"[{"n":"t","u":"K","v":273.15},{"n":"t","v":50}]"#,
        &["d1 t=0.0 Cel", "d1 t=10.0 Cel"],
    );
}

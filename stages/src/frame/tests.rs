use arrow_array::{ArrayRef, UInt32Array, new_null_array};
use arrow_schema::DataType;
use proptest::{collection::vec, option, prelude::*};

use super::*;

fn header(kind: Kind) -> Header {
    Header {
        id: FrameId(0x3aa2_d0b6_cebf_620f_677c_e196_59e1_2fc8_u128.to_be_bytes()),
        kind,
        lane: Lane(3),
        created_at: 1_700_000_000_000_000,
        epoch: 7,
        trace: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
    }
}

fn messages() -> Frame {
    let mut builder = MessagesBuilder::default();
    let properties = [("content-type".to_owned(), "application/json".to_owned())];
    for (message, payload, properties) in [(1, &b"{}"[..], &properties[..]), (2, &b"\xff\x00"[..], &[])] {
        builder.append(&Message {
            message,
            topic: "devices/a/telemetry",
            payload,
            received_at: 1_700_000_000_000_001,
            client_id: "a",
            properties,
            replays: 0,
        });
    }
    builder.finish(header(Kind::Messages)).unwrap()
}

fn readings() -> Frame {
    let mut builder = ReadingsBuilder::new(&["site".to_owned()]);
    let reading = Reading {
        device_id: "a",
        metric: "temperature",
        ts: -1,
        value: Some(0.1 + 0.2),
        text: None,
        unit: Some("Cel"),
        seq: Some(u64::MAX),
        received_at: 1_700_000_000_000_001,
        message: 1,
        tags: &[Some("north")],
    };
    builder.append(&reading);
    let text = Some("18446744073709551616");
    builder.append(&Reading {
        metric: "count",
        value: None,
        text,
        unit: None,
        seq: None,
        tags: &[None],
        ..reading
    });
    let frame = builder.finish(header(Kind::Readings)).unwrap();
    let scores =
        Scores { late: vec![false, true], anomaly_score: vec![0.0, 1.0], anomaly: vec![false, true] };
    scores.add_to(&frame.rows, frame.header).unwrap()
}

fn alerts() -> Frame {
    let mut builder = AlertsBuilder::default();
    builder.append(&AlertRow {
        alert: "0123",
        rule: "hot",
        device_id: "a",
        metric: "temperature",
        state: "firing",
        severity: "critical",
        ts: 2,
        since: 1,
        value: Some(31.5),
        anomaly_score: None,
        condition: "temperature above 30",
        received_at: 3,
        message: 4,
    });
    builder.finish(header(Kind::Alerts)).unwrap()
}

fn aggregates() -> Frame {
    let mut builder = AggregatesBuilder::default();
    let row = AggregateRow {
        device_id: "a",
        metric: "temperature",
        start: 60_000_000,
        end: 120_000_000,
        count: 3,
        min: -1.5,
        max: 0.1 + 0.2,
        mean: 0.25,
        stddev: Some(1.0 / 3.0),
        first: 0.25,
        last: -1.5,
        unit: Some("Cel"),
    };
    builder.append(&row);
    builder.append(&AggregateRow { metric: "count", count: 1, stddev: None, unit: None, ..row });
    builder.finish(header(Kind::Aggregates)).unwrap()
}

fn quarantine() -> Frame {
    let fault = |pointer: &str| Fault {
        pointer: pointer.to_owned(),
        keyword: "type".to_owned(),
        message: "is not a number".to_owned(),
    };
    let mut builder = QuarantineBuilder::default();
    let refusal = Refusal {
        message: 9,
        topic: "devices/a/telemetry",
        payload: b"\xffnot json",
        received_at: 5,
        client_id: "a",
        properties: &[("user".to_owned(), "value".to_owned())],
        stage: "validate",
        reason: "schema",
        schema: Some("builtin:device_sim"),
        errors: &[fault("/metrics/a"), fault("/metrics/b")],
        schema_version: Some("1.2"),
        replays: 3,
    };
    builder.append(&refusal);
    builder.append(&Refusal {
        reason: "not_json",
        schema: None,
        errors: &[],
        properties: &[],
        schema_version: None,
        replays: 0,
        ..refusal
    });
    builder.finish(header(Kind::Quarantine)).unwrap()
}

/// The bytes of each kind are pinned: other versions and other languages read them. A change here is
/// a change of [`FORMAT_VERSION`]; `UPDATE_GOLDEN=1 cargo test -p stages golden` then writes the files.
#[track_caller]
fn check_golden(frame: &Frame) {
    let path = format!("{}/src/frame/golden/{}.arrow", env!("CARGO_MANIFEST_DIR"), frame.header.kind);
    let bytes = encode(frame).unwrap();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &bytes).unwrap();
    }
    let golden = std::fs::read(&path).unwrap();
    assert_eq!(&decode(&golden).unwrap(), frame, "{path} reads as another frame");
    assert!(bytes == golden, "the {} frame is now written as other bytes", frame.header.kind);
}

#[test]
fn golden_files_pin_the_bytes_of_each_kind() {
    let tick = Frame::tick(Lane(2), 1_767_225_600_000_000);
    for frame in [messages(), readings(), aggregates(), alerts(), quarantine(), tick] {
        check_golden(&frame);
    }
}

/// `frame` as it is read from what version 1 wrote of it: without the columns that came with version 2.
#[track_caller]
fn check_version_1(mut frame: Frame, dropped: &[(&str, ArrayRef)]) {
    let path = format!("{}/src/frame/golden/v1/{}.arrow", env!("CARGO_MANIFEST_DIR"), frame.header.kind);
    let mut columns = frame.rows.columns().to_vec();
    for (name, default) in dropped {
        columns[frame.rows.schema_ref().index_of(name).unwrap()] = Arc::clone(default);
    }
    if !dropped.is_empty() {
        frame.rows = RecordBatch::try_new(frame.rows.schema(), columns).unwrap();
    }
    let old = decode(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(old, frame, "{path} reads as another frame");
    // So frames of both versions are joined into one run.
    assert_eq!(old.rows.schema(), frame.rows.schema());
}

#[test]
fn frames_of_version_1_are_read_with_what_they_lack() {
    let none = || new_null_array(&DataType::Dictionary(DataType::Int32.into(), DataType::Utf8.into()), 2);
    let zeros = || -> ArrayRef { Arc::new(UInt32Array::from(vec![0; 2])) };
    let tick = Frame::tick(Lane(2), 1_767_225_600_000_000);
    for frame in [readings(), aggregates(), alerts(), tick] {
        check_version_1(frame, &[]);
    }
    check_version_1(messages(), &[]);
    check_version_1(quarantine(), &[("schema_version", none()), ("replays", zeros())]);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/frame/golden/v1/quarantine.arrow");
    let old = decode(&std::fs::read(path).unwrap()).unwrap();
    let rows = Quarantine::of(&old).unwrap();
    assert_eq!(
        (rows.schema(0), rows.schema_version(0), rows.replays(0)),
        (Some("builtin:device_sim"), None, 0)
    );
    assert_eq!((rows.errors(0).len(), rows.payload(1)), (2, &b"\xffnot json"[..]));
}

#[test]
fn rows_of_the_lake_need_not_have_every_column() {
    let frame = quarantine();
    let columns = ["message", "topic", "received_at", "stage", "reason", "schema", "client_id"];
    let columns: Vec<_> =
        columns.iter().map(|name| frame.rows.schema_ref().index_of(name).unwrap()).collect();
    let rows = complete_quarantine(&frame.rows.project(&columns).unwrap()).unwrap();
    let rows = Quarantine::of_rows(&rows).unwrap();
    assert_eq!((rows.len(), rows.message(1), rows.reason(1)), (2, 9, "not_json"));
    assert_eq!((rows.payload(0), rows.properties(0), rows.errors(0)), (&b""[..], vec![], vec![]));
    assert_eq!((rows.schema_version(0), rows.replays(0)), (None, 0));
}

#[test]
fn rows_are_read_as_they_were_appended() {
    let frame = messages();
    let rows = Messages::of(&frame).unwrap();
    assert_eq!(rows.payload(1), b"\xff\x00");
    assert_eq!(rows.properties(0), [("content-type".to_owned(), "application/json".to_owned())]);
    assert_eq!(rows.properties(1), []);
    assert_eq!((rows.client_id(0), rows.schema(0), rows.replays(0)), ("a", None, 0));

    let frame = readings();
    let rows = Readings::of(&frame).unwrap();
    assert_eq!((rows.ts(0), rows.value(0), rows.seq(0)), (-1, Some(0.1 + 0.2), Some(u64::MAX)));
    assert_eq!((rows.value(1), rows.text(1), rows.seq(1)), (None, Some("18446744073709551616"), None));
    assert_eq!(rows.score(1), Some((true, 1.0)));

    let frame = quarantine();
    let rows = Quarantine::of(&frame).unwrap();
    assert_eq!((rows.reason(0), rows.schema(0)), ("schema", Some("builtin:device_sim")));
    assert_eq!((rows.schema_version(0), rows.replays(0), rows.replays(1)), (Some("1.2"), 3, 0));
    assert_eq!((rows.client_id(0), rows.properties(0).len(), rows.properties(1).len()), ("a", 1, 0));
    assert_eq!(rows.errors(0).len(), 2);
    assert_eq!(rows.errors(0)[1].pointer, "/metrics/b");
    assert_eq!((rows.reason(1), rows.schema(1), rows.errors(1).len()), ("not_json", None, 0));

    let frame = aggregates();
    let rows = Aggregates::of(&frame).unwrap();
    assert_eq!((rows.get(0).stddev, rows.get(0).unit), (Some(1.0 / 3.0), Some("Cel")));
    assert_eq!((rows.get(1).stddev, rows.get(1).unit, rows.get(1).count), (None, None, 1));

    let frame = alerts();
    assert_eq!(Alerts::of(&frame).unwrap().get(0).value, Some(31.5));
}

#[test]
fn what_is_no_frame_is_refused_and_says_why() {
    let whole = encode(&readings()).unwrap();
    assert!(matches!(decode(b""), Err(FrameError::Damaged)));
    assert!(matches!(decode(b"{\"topic\": \"t\"}"), Err(FrameError::Damaged)));
    assert!(matches!(decode(&whole[..whole.len() / 2]), Err(FrameError::Damaged)));
    let error = Messages::of(&readings()).unwrap_err().to_string();
    assert_eq!(error, "frame header kind cannot be \"readings\"");
}

#[test]
fn a_frame_of_another_writer_needs_no_checksum() {
    let frame = readings();
    let bytes = encode(&frame).unwrap();
    assert_eq!(decode(&bytes[..bytes.len() - 8]).unwrap(), frame);
}

#[test]
fn a_run_joins_in_order_under_an_id_of_its_own() {
    let first = readings();
    let mut second = readings();
    second.header.id = FrameId::ingested(7, 43);
    let joined = Frame::coalesce(&[first.clone(), second.clone()]).unwrap();
    assert_eq!(joined.rows.num_rows(), 4);
    assert_ne!(joined.header.id, first.header.id);
    assert_eq!(joined.header.id, Frame::coalesce(&[first, second]).unwrap().header.id);
}

#[test]
fn lanes_spread_devices_and_stay() {
    // Pinned: state and order hang on where a device's frames go.
    assert_eq!(["a", "b", "c", "d"].map(|device| Lane::of(device, 4).0), [3, 3, 3, 2]);
    let mut devices = [0; 4];
    for device in 0..1_000 {
        devices[usize::from(Lane::of(&format!("dev-{device:06}"), 4).0)] += 1;
    }
    assert!(devices.iter().all(|count| (200..300).contains(count)), "{devices:?}");
}

proptest! {
    #[test]
    fn readings_survive_the_wire(
        rows in vec(
            (".{0,8}", "[a-z]{1,3}", any::<i64>(), option::of(any::<f64>()), option::of(".{0,4}"), option::of(any::<u64>())),
            1..50,
        )
    ) {
        let mut builder = ReadingsBuilder::new(&[]);
        for (device_id, metric, ts, value, text, seq) in &rows {
            builder.append(&Reading {
                device_id,
                metric,
                ts: *ts,
                value: *value,
                text: text.as_deref(),
                unit: None,
                seq: *seq,
                received_at: 0,
                message: 0,
                tags: &[],
            });
        }
        let frame = builder.finish(header(Kind::Readings)).unwrap();
        let back = decode(&encode(&frame).unwrap()).unwrap();
        let readings = Readings::of(&back).unwrap();
        prop_assert_eq!(&back.header, &frame.header);
        for (row, (device_id, metric, ts, value, text, seq)) in rows.iter().enumerate() {
            prop_assert_eq!(readings.devices().get(row), Some(device_id.as_str()));
            prop_assert_eq!(readings.metrics().get(row), Some(metric.as_str()));
            prop_assert_eq!(readings.ts(row), *ts);
            prop_assert_eq!(readings.value(row).map(f64::to_bits), value.map(f64::to_bits));
            prop_assert_eq!(readings.text(row), text.as_deref());
            prop_assert_eq!(readings.seq(row), *seq);
        }
    }

    #[test]
    fn payloads_survive_the_wire(payloads in vec(vec(any::<u8>(), 0..200), 1..50)) {
        let mut builder = MessagesBuilder::default();
        for payload in &payloads {
            builder.append(&Message {
                message: 0,
                topic: "t",
                payload,
                received_at: 0,
                client_id: "",
                properties: &[],
                replays: 0,
            });
        }
        let frame = builder.finish(header(Kind::Messages)).unwrap();
        let back = decode(&encode(&frame).unwrap()).unwrap();
        let messages = Messages::of(&back).unwrap();
        for (row, payload) in payloads.iter().enumerate() {
            prop_assert_eq!(messages.payload(row), payload.as_slice());
        }
    }

    #[test]
    fn no_bytes_make_the_codec_panic(bytes in vec(any::<u8>(), 0..300)) {
        let _refused = decode(&bytes);
    }

    #[test]
    fn damage_is_told(place in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let mut bytes = encode(&quarantine()).unwrap();
        let place = place.index(bytes.len());
        bytes[place] ^= 1 << bit;
        prop_assert!(matches!(decode(&bytes), Err(FrameError::Damaged)));
    }
}

#[test]
fn refused_messages_of_both_versions_are_known_by_what_the_data_file_calls_them() {
    let golden = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/src/frame/golden/v1/quarantine.arrow"));
    let golden = golden.unwrap();
    let old = arrow_ipc::reader::StreamReader::try_new(golden.as_slice(), None).unwrap().schema();
    let new = decode(&golden).unwrap().rows.schema();
    // Written into intents, of which an upgrade makes the others: see 2-3.sql of the data file.
    let ids = [0x78ac_c538_bd7d_18ac, 0xc7be_486b_76b3_a6d8];
    assert_eq!([old, new].map(|schema| crate::store::columns_id(&schema)), ids);
}

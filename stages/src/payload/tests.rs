mod cbor;
mod plans;

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use zstd::stream::write::Encoder;

use super::*;

fn config(config: Value) -> PayloadConfig {
    serde_json::from_value(config).unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    // With a checksum, so that no truncation goes unnoticed.
    let mut encoder = Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The text of a payload, or the reason that it is refused for.
fn decoded(
    config: PayloadConfig,
    properties: &[(&str, &str)],
    payload: &[u8],
) -> Result<String, &'static str> {
    let text = decode(config, properties.iter().copied(), payload).map_err(|refused| refused.reason)?;
    Ok(String::from_utf8(text.into_owned()).unwrap())
}

#[test]
fn json_is_handed_on_without_a_copy() {
    let payload: &[u8] = b" {\"a\": 1} ";
    for properties in [vec![], vec![("unit", "Cel")], vec![("Content-Encoding", "identity")]] {
        let text = decode(PayloadConfig::default(), properties.into_iter(), payload).unwrap();
        assert!(matches!(text, Cow::Borrowed(text) if std::ptr::eq(text, payload)));
    }
}

#[test]
fn properties_say_what_a_payload_is() {
    let text = "{\"a\":1}";
    let (plain, cbor) = (text.as_bytes(), b"\xa1\x61a\x01".as_slice());
    let default = PayloadConfig::default();
    for (payload, properties) in [
        (gzip(plain), vec![("content-encoding", "gzip")]),
        (gzip(plain), vec![("Content-Encoding", " X-GZIP ")]),
        (zstd(plain), vec![("CONTENT-ENCODING", "zstd")]),
        (plain.to_vec(), vec![("content-type", "application/json; charset=utf-8")]),
        (plain.to_vec(), vec![("content-type", "application/senml+json")]),
        (plain.to_vec(), vec![("content-type", "text/plain")]),
        (plain.to_vec(), vec![("content-type", "")]),
        (cbor.to_vec(), vec![("content-type", "application/cbor")]),
        (cbor.to_vec(), vec![("Content-Type", "Application/vnd.example+CBOR;v=1")]),
        (cbor.to_vec(), vec![("content-type", "application/senml+cbor")]),
        (gzip(cbor), vec![("content-type", "application/cbor"), ("unit", "V"), ("content-encoding", "gzip")]),
    ] {
        assert_eq!(decoded(default, &properties, &payload).as_deref(), Ok(text), "{properties:?}");
    }
}

#[test]
fn the_config_says_it_where_properties_are_silent() {
    let text = "{\"1\":2}";
    let cbor = b"\xa1\x01\x02";
    let both = config(json!({ "encoding": "zstd", "format": "cbor" }));
    assert_eq!(decoded(both, &[], &zstd(cbor)).as_deref(), Ok(text));
    assert_eq!(decoded(both, &[("content-type", "text/plain")], &zstd(cbor)).as_deref(), Ok(text));
    assert_eq!(decoded(both, &[("content-encoding", "identity")], cbor).as_deref(), Ok(text));
    assert_eq!(decoded(both, &[("content-encoding", "gzip")], &gzip(cbor)).as_deref(), Ok(text));
    assert_eq!(
        decoded(both, &[("content-type", "application/json")], &zstd(text.as_bytes())).as_deref(),
        Ok(text)
    );
    let senml = config(json!({ "format": "senml_cbor" }));
    assert_eq!(decoded(senml, &[], cbor).as_deref(), Ok("{\"u\":2}"));
}

#[test]
fn what_is_not_encoded_as_it_says_is_refused() {
    let encoding = |value| vec![("content-encoding", value)];
    for (properties, payload) in [
        (encoding("br"), b"{}".to_vec()),
        (encoding(""), b"{}".to_vec()),
        (encoding("gzip, zstd"), zstd(&gzip(b"{}"))),
        (vec![("content-encoding", "gzip"), ("content-encoding", "zstd")], zstd(&gzip(b"{}"))),
        (encoding("gzip"), b"{}".to_vec()),
        (encoding("gzip"), Vec::new()),
        (encoding("zstd"), Vec::new()),
        (encoding("zstd"), gzip(b"{}")),
        (encoding("gzip"), [gzip(b"{}"), b"more".to_vec()].concat()),
        (encoding("zstd"), [zstd(b"{}"), b"more".to_vec()].concat()),
    ] {
        let refused = decoded(PayloadConfig::default(), &properties, &payload);
        assert_eq!(refused, Err("bad_encoding"), "{properties:?} {payload:?}");
    }
}

#[test]
fn a_stream_of_several_parts_is_one_payload() {
    // RFC 1952, section 2.2, and RFC 8878, section 3.
    let parts = [gzip(b"{\"a\":"), gzip(b"1}")].concat();
    assert_eq!(
        decoded(PayloadConfig::default(), &[("content-encoding", "gzip")], &parts).as_deref(),
        Ok("{\"a\":1}")
    );
    let parts = [zstd(b"{\"a\":"), zstd(b"1}")].concat();
    assert_eq!(
        decoded(PayloadConfig::default(), &[("content-encoding", "zstd")], &parts).as_deref(),
        Ok("{\"a\":1}")
    );
}

#[test]
fn a_stream_that_is_cut_short_is_refused_wherever_that_is() {
    let text = json!({ "device_id": "pump", "metrics": { "a": 1.5, "b": [1, 2, 3] } }).to_string().repeat(20);
    for (name, whole) in [("gzip", gzip(text.as_bytes())), ("zstd", zstd(text.as_bytes()))] {
        let decoded =
            |payload: &[u8]| decoded(PayloadConfig::default(), &[("content-encoding", name)], payload);
        assert_eq!(decoded(&whole).as_deref(), Ok(text.as_str()));
        for end in 0..whole.len() {
            assert_eq!(
                decoded(&whole[..end]),
                Err("bad_encoding"),
                "{end} of {} bytes of {name}",
                whole.len()
            );
        }
    }
}

#[test]
fn a_bomb_is_no_more_than_its_limit() {
    let small = config(json!({ "bytes_max": 100_000 }));
    for size in [100_000, 100_001, 16 << 20] {
        let zeros = vec![b'0'; size];
        for (name, bomb) in [("gzip", gzip(&zeros)), ("zstd", zstd(&zeros))] {
            let decoded = decoded(small, &[("content-encoding", name)], &bomb).map(|text| text.len());
            assert_eq!(decoded, if size > 100_000 { Err("too_large") } else { Ok(size) }, "{size} of {name}");
        }
    }
}

#[test]
fn memory_for_a_window_is_not_taken_on_the_word_of_a_header() {
    let mut encoder = Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(b"{}").unwrap();
    let payload = encoder.finish().unwrap();
    assert_eq!(
        decoded(PayloadConfig::default(), &[("content-encoding", "zstd")], &payload),
        Err("bad_encoding")
    );
}

#[test]
fn a_config_is_written_as_it_is_read() {
    let text = json!({ "encoding": "gzip", "format": "senml_cbor", "bytes_max": 5000 });
    assert_eq!(serde_json::to_value(config(text.clone())).unwrap(), text);
    let whole: crate::topic::TopicConfig = serde_json::from_value(json!({ "pattern": "a" })).unwrap();
    assert_eq!(serde_json::to_value(&whole).unwrap(), json!({ "pattern": "a" }));
    let error = serde_json::from_value::<PayloadConfig>(json!({ "encoding": "br" })).unwrap_err().to_string();
    assert!(error.contains("expected one of `none`, `gzip`, `zstd`"), "{error}");
}

use minicbor::Encoder;
use proptest::{collection, prelude::*, sample};
use serde_json::{Map, Number, Value};

use super::{super::cbor::*, *};

const LIMIT: usize = 4 << 20;

fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap())
        .collect()
}

fn text(payload: &[u8]) -> Result<String, Refused> {
    to_json(payload, Labels::Digits, LIMIT).map(|text| String::from_utf8(text).unwrap())
}

#[test]
fn the_examples_of_rfc_8949_appendix_a() {
    let one_to_25 = format!("[{}]", (1..=25).map(|number| number.to_string()).collect::<Vec<_>>().join(","));
    let one_to_25 = one_to_25.as_str();
    for (hex, expected) in [
        ("00", "0"),
        ("01", "1"),
        ("0a", "10"),
        ("17", "23"),
        ("1818", "24"),
        ("1819", "25"),
        ("1864", "100"),
        ("1903e8", "1000"),
        ("1a000f4240", "1000000"),
        ("1b000000e8d4a51000", "1000000000000"),
        ("1bffffffffffffffff", "18446744073709551615"),
        ("c249010000000000000000", "\"AQAAAAAAAAAA\""),
        ("3bffffffffffffffff", "-18446744073709551616"),
        ("c349010000000000000000", "\"~AQAAAAAAAAAA\""),
        ("20", "-1"),
        ("29", "-10"),
        ("3863", "-100"),
        ("3903e7", "-1000"),
        ("f90000", "0.0"),
        ("f98000", "-0.0"),
        ("f93c00", "1.0"),
        ("fb3ff199999999999a", "1.1"),
        ("f93e00", "1.5"),
        ("f97bff", "65504.0"),
        ("fa47c35000", "100000.0"),
        ("fa7f7fffff", "3.4028234663852886e+38"),
        ("fb7e37e43c8800759c", "1e+300"),
        ("f90001", "5.960464477539063e-8"),
        ("f90400", "0.00006103515625"),
        ("f9c400", "-4.0"),
        ("fbc010666666666666", "-4.1"),
        ("f97c00", "null"),
        ("f97e00", "null"),
        ("f9fc00", "null"),
        ("fa7f800000", "null"),
        ("fa7fc00000", "null"),
        ("faff800000", "null"),
        ("fb7ff0000000000000", "null"),
        ("fb7ff8000000000000", "null"),
        ("fbfff0000000000000", "null"),
        ("f4", "false"),
        ("f5", "true"),
        ("f6", "null"),
        ("f7", "null"),
        ("f0", "null"),
        ("f8ff", "null"),
        ("c074323031332d30332d32315432303a30343a30305a", "\"2013-03-21T20:04:00Z\""),
        ("c11a514b67b0", "1363896240"),
        ("c1fb41d452d9ec200000", "1363896240.5"),
        ("d74401020304", "\"01020304\""),
        ("d818456449455446", "\"ZElFVEY\""),
        ("d82076687474703a2f2f7777772e6578616d706c652e636f6d", "\"http://www.example.com\""),
        ("40", "\"\""),
        ("4401020304", "\"AQIDBA\""),
        ("60", "\"\""),
        ("6161", "\"a\""),
        ("6449455446", "\"IETF\""),
        ("62225c", r#""\"\\""#),
        ("62c3bc", "\"\u{fc}\""),
        ("63e6b0b4", "\"\u{6c34}\""),
        ("64f0908591", "\"\u{10151}\""),
        ("80", "[]"),
        ("83010203", "[1,2,3]"),
        ("8301820203820405", "[1,[2,3],[4,5]]"),
        ("98190102030405060708090a0b0c0d0e0f101112131415161718181819", one_to_25),
        ("a0", "{}"),
        ("a201020304", r#"{"1":2,"3":4}"#),
        ("a26161016162820203", r#"{"a":1,"b":[2,3]}"#),
        ("826161a161626163", r#"["a",{"b":"c"}]"#),
        ("a56161614161626142616361436164614461656145", r#"{"a":"A","b":"B","c":"C","d":"D","e":"E"}"#),
        ("5f42010243030405ff", "\"AQIDBAU\""),
        ("7f657374726561646d696e67ff", "\"streaming\""),
        ("9fff", "[]"),
        ("9f018202039f0405ffff", "[1,[2,3],[4,5]]"),
        ("9f01820203820405ff", "[1,[2,3],[4,5]]"),
        ("83018202039f0405ff", "[1,[2,3],[4,5]]"),
        ("83019f0203ff820405", "[1,[2,3],[4,5]]"),
        ("9f0102030405060708090a0b0c0d0e0f101112131415161718181819ff", one_to_25),
        ("bf61610161629f0203ffff", r#"{"a":1,"b":[2,3]}"#),
        ("826161bf61626163ff", r#"["a",{"b":"c"}]"#),
        ("bf6346756ef563416d7421ff", r#"{"Fun":true,"Amt":-2}"#),
    ] {
        assert_eq!(text(&bytes(hex)).as_deref(), Ok(expected), "{hex}");
    }
}

#[test]
fn tags_say_how_bytes_are_written() {
    for (hex, expected) in [
        // 21, 22 and 23 hold for all that is within.
        ("d542fbff", "\"-_8\""),
        ("d642fbff", "\"+/8=\""),
        ("d742fbff", "\"FBFF\""),
        ("d6a16162820142fbff", "{\"b\":[1,\"+/8=\"]}"),
        ("82d642fbff42fbff", "[\"+/8=\",\"-_8\"]"),
        ("d7d642fbff", "\"+/8=\""),
        ("d7c242fbff", "\"-_8\""),
        ("c25f41fb41ffff", "\"-_8\""),
        ("d9d9f7a1c1616101", "{\"a\":1}"),
    ] {
        assert_eq!(text(&bytes(hex)).as_deref(), Ok(expected), "{hex}");
    }
}

#[test]
fn decimal_fractions_are_exact_numbers() {
    for (hex, expected) in [
        // RFC 8949, section 3.4.4.
        ("c48221196ab3", "27315e-2"),
        ("c49f21196ab3ff", "27315e-2"),
        ("c482003903e7", "-1000"),
        ("c482011bffffffffffffffff", "18446744073709551615e1"),
    ] {
        assert_eq!(text(&bytes(hex)).unwrap(), expected);
    }
    let largest = text(&bytes("c4821901203bffffffffffffffff")).unwrap();
    assert_eq!(largest, "-18446744073709551616e288");
    assert!(serde_json::from_str::<Value>(&largest).is_ok());
    let senml = to_json(&bytes("81a200616102c48221196ab3"), Labels::Senml, LIMIT).unwrap();
    assert_eq!(senml, br#"[{"n":"a","v":27315e-2}]"#);
}

#[test]
fn what_is_no_cbor_is_refused() {
    for (hex, said) in [
        ("", "ends before its time"),
        ("18", "ends before its time"),
        ("8301", "ends before its time"),
        ("9f01", "ends before its time"),
        ("62c3", "ends before its time"),
        ("c1", "ends before its time"),
        ("9bffffffffffffffff00", "ends before its time"),
        ("bbffffffffffffffff0000", "ends before its time"),
        ("5b7fffffffffffffff", "ends before its time"),
        ("7bffffffffffffffff61", "ends before its time"),
        ("0001", "goes on after its end at byte 1"),
        ("a0ff", "goes on after its end at byte 1"),
        ("1c", "at byte 0"),
        ("81fe", "at byte 1"),
        ("62c328", "at byte 0"),
        ("f818", "the simple value 24 is not well-formed"),
        ("f814", "the simple value 20 is not well-formed"),
        ("ff", "a break code stands where a value is due"),
        ("82ff00", "a break code stands where a value is due"),
        ("bf6161ff", "a break code stands where a value is due"),
        ("c1ff", "a break code stands where a value is due"),
        ("a1ff00", "a key that is neither text nor a 64-bit integer"),
        ("a1410000", "a key that is neither text nor a 64-bit integer"),
        ("a1f600", "a key that is neither text nor a 64-bit integer"),
        ("c405", "no array of two"),
        ("c48105", "no array of two"),
        ("c483010203", "no array of two"),
        ("c49f01020304ff", "no array of two"),
        ("c4820161", "before its time"),
        ("c482016161", "no array of two"),
        ("c48219012101", "the exponent 289"),
        ("c48239012001", "the exponent -289"),
        ("a1c2410000", "a key that is neither text nor a 64-bit integer"),
        ("a1f93c0000", "a key that is neither text nor a 64-bit integer"),
        ("a2616101616102", "the key \"a\" twice"),
        ("a20101613102", "the key \"1\" twice"),
        ("a2616101c1616102", "the key \"a\" twice"),
        ("a1616ba2616101616102", "the key \"a\" twice"),
        ("7f4161ff", "a chunk of a text is none"),
        ("7f7f6161ffff", "a chunk of a text is none"),
        ("5f6161ff", "a chunk of a byte string is none"),
        ("c201", "a bignum is no byte string"),
    ] {
        let refused = text(&bytes(hex)).unwrap_err();
        assert_eq!(refused.reason, "not_cbor", "{hex}");
        assert!(refused.errors[0].message.contains(said), "{hex}: {}", refused.errors[0].message);
    }
}

#[test]
fn a_key_that_comes_again_is_found_in_a_large_map() {
    let map = |keys: &[u32]| {
        let mut encoder = Encoder::new(Vec::new());
        encoder.map(keys.len() as u64).unwrap();
        for key in keys {
            encoder.str(&format!("key {key}")).unwrap().u32(*key).unwrap();
        }
        encoder.into_writer()
    };
    let keys: Vec<u32> = (0..1000).collect();
    assert!(text(&map(&keys)).is_ok());
    assert_eq!(text(&map(&[&keys[..], &[500]].concat())).unwrap_err().reason, "not_cbor");
}

#[test]
fn nesting_is_as_deep_as_that_of_json() {
    let nested = |levels| [vec![0x81; levels], vec![0]].concat();
    assert!(serde_json::from_str::<Value>(&text(&nested(127)).unwrap()).is_ok());
    assert_eq!(text(&nested(128)).unwrap_err().reason, "too_deep");
    assert_eq!(text(&nested(4 << 20)).unwrap_err().reason, "too_deep");
    assert_eq!(text(&[vec![0x9f; 4 << 20]].concat()).unwrap_err().reason, "too_deep");
    assert_eq!(text(&[vec![0xc1; 4 << 20], vec![7]].concat()).as_deref(), Ok("7"), "tags are no levels");
}

#[test]
fn the_limit_holds_for_the_text() {
    // A NUL of one byte becomes an escape of six.
    let payload = [b"\x78\x64".to_vec(), vec![0; 100]].concat();
    assert_eq!(to_json(&payload, Labels::Digits, 602).unwrap().len(), 602);
    assert_eq!(to_json(&payload, Labels::Digits, 601).unwrap_err().reason, "too_large");
    let many = [b"\x9a\x00\x10\x00\x00".to_vec(), vec![0xf6; 1 << 20]].concat();
    assert_eq!(text(&many).unwrap_err().reason, "too_large");
}

#[test]
fn senml_has_names_for_its_labels() {
    let mut encoder = Encoder::new(Vec::new());
    encoder.array(1).unwrap().map(17).unwrap();
    for label in -6..=9 {
        encoder.i8(label).unwrap().u8(1).unwrap();
    }
    encoder.str("x_").unwrap().u8(1).unwrap();
    let payload = encoder.into_writer();
    let expected = "[{'bs':1,'bv':1,'bu':1,'bt':1,'bn':1,'bver':1,'n':1,'u':1,'v':1,'vs':1,'vb':1,'s':1,'t':1,'ut':1,'vd':1,'9':1,'x_':1}]";
    let found = to_json(&payload, Labels::Senml, LIMIT).unwrap();
    assert_eq!(String::from_utf8(found).unwrap(), expected.replace('\'', "\""));
    assert!(text(&payload).unwrap().starts_with("[{\"-6\":1,\"-5\":1"));
}

#[test]
fn every_half_float_is_exact() {
    for bits in 0..=u16::MAX {
        let [high, low] = bits.to_be_bytes();
        let found = text(&[0xf9, high, low]).unwrap();
        let value = minicbor::decode::<f64>(&[0xf9, high, low]).unwrap();
        if value.is_finite() {
            assert_eq!(found.parse::<f64>().unwrap().to_bits(), value.to_bits(), "{bits:04x}");
        } else {
            assert_eq!(found, "null", "{bits:04x}");
        }
    }
}

/// Writes `value` with lengths, or without where `indefinite` says so.
fn encode(value: &Value, indefinite: bool, encoder: &mut Encoder<Vec<u8>>) {
    match value {
        Value::Null => drop(encoder.null().unwrap()),
        Value::Bool(value) => drop(encoder.bool(*value).unwrap()),
        Value::Number(number) => drop(match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => encoder.u64(number).unwrap(),
            (_, Some(number)) => encoder.i64(number).unwrap(),
            _ => encoder.f64(number.as_f64().unwrap()).unwrap(),
        }),
        Value::String(text) if indefinite => {
            encoder.begin_str().unwrap();
            for char in text.chars() {
                encoder.str(char.encode_utf8(&mut [0; 4])).unwrap();
            }
            encoder.end().unwrap();
        }
        Value::String(text) => drop(encoder.str(text).unwrap()),
        Value::Array(items) => {
            let begun = if indefinite { encoder.begin_array() } else { encoder.array(items.len() as u64) };
            begun.unwrap();
            items.iter().for_each(|item| encode(item, indefinite, encoder));
            if indefinite {
                encoder.end().unwrap();
            }
        }
        Value::Object(entries) => {
            let begun = if indefinite { encoder.begin_map() } else { encoder.map(entries.len() as u64) };
            begun.unwrap();
            for (key, item) in entries {
                encoder.str(key).unwrap();
                encode(item, indefinite, encoder);
            }
            if indefinite {
                encoder.end().unwrap();
            }
        }
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter_map("JSON has no others", Number::from_f64).prop_map(Value::Number),
        any::<String>().prop_map(Value::String),
    ];
    leaf.prop_recursive(5, 60, 8, |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..8).prop_map(Value::Array),
            collection::vec((any::<String>(), inner), 0..20)
                .prop_map(|entries| Value::Object(entries.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    #[test]
    fn json_comes_back_from_cbor(value in any_json(), indefinite in any::<bool>(), cut in any::<sample::Index>()) {
        let mut encoder = Encoder::new(Vec::new());
        encode(&value, indefinite, &mut encoder);
        let payload = encoder.into_writer();
        let found: Value = serde_json::from_str(&text(&payload).unwrap()).unwrap();
        prop_assert_eq!(found, value);
        let end = cut.index(payload.len());
        prop_assert_eq!(text(&payload[..end]).unwrap_err().reason, "not_cbor", "cut at {}", end);
    }

    #[test]
    fn any_bytes_are_json_or_refused(payload in collection::vec(any::<u8>(), 0..200)) {
        if let Ok(text) = text(&payload) {
            prop_assert!(serde_json::from_str::<Value>(&text).is_ok(), "{}", text);
        }
    }

    #[test]
    fn floats_of_32_bits_are_exact(value in any::<f32>().prop_filter("JSON has no others", |value| value.is_finite())) {
        let mut encoder = Encoder::new(Vec::new());
        encoder.f32(value).unwrap();
        let found: f64 = text(&encoder.into_writer()).unwrap().parse().unwrap();
        prop_assert_eq!(found.to_bits(), f64::from(value).to_bits());
    }
}

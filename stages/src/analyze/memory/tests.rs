use std::collections::HashSet;

use proptest::{collection::vec, option, prelude::*};

use super::{row::Value, *};

/// Any row at all.
fn any_row() -> impl Strategy<Value = Row> {
    let value = prop_oneof![
        (-100_000..100_000_i32, 0..5_i32)
            .prop_map(|(value, scale)| Some(f64::from(value) / 10_f64.powi(scale))),
        any::<f64>().prop_map(Some),
        Just(None)
    ];
    let text = option::weighted(0.1, "[a-z]{0,3}");
    let ts = prop_oneof![0..5_000_000_i64, any::<i64>()];
    let seq = prop_oneof![Just(None), (0..9_u64).prop_map(Some), any::<u64>().prop_map(Some)];
    (0..9_u64, ts, seq, value, text).prop_map(|(metric, ts, seq, value, text)| Row {
        metric: metric % 5,
        ts,
        seq,
        value: Value::of(value, text.as_deref()),
    })
}

/// One of few rows, in the order in which devices send them, more or less: each is so far behind the newest.
fn likely_rows() -> impl Strategy<Value = Vec<Row>> {
    let value = prop_oneof![(0..3_u8).prop_map(|value| Some(f64::from(value) / 3.0)), Just(None)];
    let row = (0..3_u64, prop_oneof![4 => Just(0), 1 => 0..90_u64], 0..20_u64, option::weighted(0.8, value));
    vec(row, 1..400).prop_map(|rows| {
        let mut now = 1_000_u64;
        let row = |(metric, behind, step, value): (u64, u64, u64, Option<Option<f64>>)| {
            now += if step < 18 { 0 } else { step };
            let at = now - behind;
            let seq = (!at.is_multiple_of(7)).then_some(at / 2);
            let value =
                value.map_or(Value::of(Some(at as f64 / 100.0), None), |value| Value::of(value, Some("on")));
            Row { metric, ts: at.cast_signed() * 1_000_000, seq, value }
        };
        rows.into_iter().map(row).collect()
    })
}

/// A memory as another process finds it.
fn restored(entries: Vec<Vec<u8>>) -> Memory {
    let mut memory = Memory::default();
    for bytes in entries {
        assert!(memory.apply(postcard::from_bytes(&bytes).unwrap()));
    }
    memory
}

fn saved(memory: &mut Memory, all: bool) -> Vec<u8> {
    postcard::to_stdvec(&memory.changes(all)).unwrap()
}

/// Samples of four metrics, some decimals each, every so many microseconds.
fn regular(samples: u64, step: impl Fn(u64) -> i64) -> Memory {
    let (mut memory, mut ts) = (Memory::default(), 1_700_000_000_000_000);
    for seq in 0..samples {
        ts += step(seq);
        for (metric, power) in (0..4).zip([100.0, 10.0, 100.0, 1.0]) {
            let wave = ((seq * (metric + 3)) as f64 / 50.0).sin() * 3.0 + 20.0;
            let value = Value::of(Some((wave * power).round() / power), None);
            memory.push(&Row { metric, ts, seq: Some(seq), value });
        }
    }
    memory
}

#[test]
fn a_reading_takes_two_to_three_bytes() {
    for (name, memory) in [
        ("even", regular(3_600, |_| 1_000_000)),
        ("by the millisecond", regular(3_600, |seq| 1_000_000 + (seq * 7 % 13).cast_signed() * 1_000)),
        ("by the microsecond", regular(3_600, |seq| 9_000 + (seq * 7919 % 6007).cast_signed())),
    ] {
        let per_reading = memory.size() as f64 / (3_600.0 * 4.0);
        assert!((1.0..3.0).contains(&per_reading), "{name}: {per_reading} bytes");
    }
}

#[test]
fn an_index_goes_when_nobody_looks_any_more() {
    let mut memory = regular(1_000, |_| 1_000_000);
    let known = memory.chunks[2].context();
    assert!(!memory.contains(&Row {
        metric: 9,
        ts: memory.chunks[2].newest,
        seq: None,
        value: Value::of(None, None)
    }));
    assert!(memory.indexes() > 0, "{known:?}");
    memory.forget(0);
    assert!(memory.indexes() > 0, "it was used since the last time");
    memory.forget(0);
    assert_eq!(memory.indexes(), 0);
}

#[test]
fn what_goes_on_with_nothing_is_refused() {
    let mut memory = regular(1, |_| 1);
    let first = saved(&mut memory, false);
    memory.push(&Row { metric: 1, ts: 5, seq: None, value: Value::of(None, None) });
    let second: Vec<ChunkEntry> = postcard::from_bytes(&saved(&mut memory, false)).unwrap();
    assert!(!Memory::default().apply(second));
    assert!(Memory::default().apply(postcard::from_bytes(&first).unwrap()));
}

#[test]
fn numbers_with_few_decimals_are_kept_as_they_are() {
    for (value, expected) in [(21.43, (2143, 2)), (-0.5, (-5, 1)), (1e6, (1_000_000, 0)), (0.0, (0, 0))] {
        let (mantissa, scale) = expected;
        assert_eq!(Value::of(Some(value), None), Value::Decimal { mantissa, scale }, "{value}");
    }
    let others = [-0.0, 1.0 / 3.0, 1e13, f64::NAN, f64::INFINITY, 0.0001];
    for value in others {
        assert!(matches!(Value::of(Some(value), None), Value::Hash(_)), "{value}");
    }
    assert_ne!(Value::of(Some(1.0), Some("a")), Value::of(Some(1.0), None));
    assert_ne!(Value::of(None, Some("")), Value::of(None, None));
}

proptest! {
    #[test]
    fn rows_come_back_as_they_were(rows in vec(any_row(), 0..60)) {
        let (mut context, mut bytes) = (Context::default(), Vec::new());
        rows.iter().for_each(|row| context.write(row, &mut bytes));
        let (mut context, mut rest) = (Context::default(), &bytes[..]);
        let read: Vec<_> = std::iter::from_fn(|| context.read(&mut rest)).collect();
        prop_assert_eq!(read, rows);
    }

    #[test]
    fn damaged_bytes_end_somewhere(bytes in vec(any::<u8>(), 0..200)) {
        let (mut context, mut rest) = (Context::default(), &bytes[..]);
        while context.read(&mut rest).is_some() {}
    }

    /// After each so many rows it is saved, as a delta or whole, read by another process, or what is old is forgotten.
    #[test]
    fn it_knows_what_a_set_knows(rows in likely_rows(), every in 1..40_usize, then in vec(0..4_u8, 1..20)) {
        let (mut memory, mut set) = (Memory::default(), HashSet::new());
        let (mut entries, mut then) = (Vec::new(), then.into_iter().cycle());
        for rows in rows.chunks(every) {
            for row in rows {
                let known = memory.contains(row);
                prop_assert_eq!(known, set.contains(row), "{:?}", row);
                if !known {
                    memory.push(row);
                    set.insert(*row);
                }
            }
            entries.push(saved(&mut memory, false));
            match then.next() {
                Some(0) => entries = vec![saved(&mut memory, true)],
                Some(1) => memory = restored(entries.clone()),
                Some(2) => {
                    let horizon = rows[0].ts - 200_000_000;
                    memory.forget(horizon);
                    set.retain(|row| memory.contains(row) || row.ts >= horizon);
                    entries = vec![saved(&mut memory, true)];
                }
                _ => {}
            }
            prop_assert_eq!(memory.indexes(), memory.chunks.iter().map(Chunk::index_size).sum::<usize>());
            let other = restored(entries.clone());
            prop_assert_eq!(other.size(), memory.size());
            prop_assert_eq!(other.size(), other.chunks().map(|(_, size)| size).sum::<usize>());
        }
    }
}

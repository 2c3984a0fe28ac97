//! Store is killed at each moment of a roll.

use stages::frame::{Kind, QuarantineBuilder, Refusal};
use tests::{below, until};

use crate::{
    place::{Place, end},
    rows::{PARTITIONS, assert_once, header, numbers, publish, publish_all},
};

/// Moments in the order of a roll, each at its second file where there are several.
const MOMENTS: [&str; 6] =
    ["intent_after:1", "put_before:1", "put_before:2", "put_after:2", "put_after:3", "settle_before:1"];

fn die(place: &Place, moment: &str) {
    let died = place.armed_store(&format!("{moment}:kill")).ended();
    assert_eq!(died.code, None, "{moment}: {}", died.err.join("\n"));
}

#[test]
fn object_store_a_store_that_is_killed_at_any_moment_loses_and_repeats_no_row() {
    let place = Place::new();
    end(place.store());
    for (round, moment) in (1..).zip(MOMENTS) {
        publish(&place.site, round - 1..round);
        die(&place, moment);
        let store = place.store();
        place.site.wait_until_dry();
        end(store);
        assert_once(&place.lake(), round);
    }
    assert!(place.files() as u64 > PARTITIONS * 6, "there are fences, too");
}

#[test]
fn object_store_who_resolves_may_be_killed_in_it() {
    let place = Place::new();
    end(place.store());
    publish(&place.site, 0..2);
    die(&place, "put_after:2");
    die(&place, "fence_after:1");
    let store = place.store();
    place.site.wait_until_dry();
    end(store);
    assert_once(&place.lake(), 2);
}

/// Messages that were refused, with payloads that cannot be made smaller: a file of more than 16 MiB.
fn publish_large(place: &Place) {
    for number in 0..10 {
        let mut builder = QuarantineBuilder::default();
        for message in number * 10..(number + 1) * 10 {
            builder.append(&Refusal {
                message,
                topic: "devices/a",
                payload: &noise(message),
                received_at: 0,
                client_id: "",
                properties: &[],
                stage: "validate",
                reason: "schema",
                schema: None,
                errors: &[],
                schema_version: None,
                replays: 0,
            });
        }
        publish_all(&place.site, vec![builder.finish(header(1000 + number, Kind::Quarantine)).unwrap()]);
    }
}

/// 256 KiB like no other.
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..32 << 10).flat_map(|_| next()).collect()
}

fn assert_large(place: &Place) {
    assert_eq!(numbers(&place.lake().join("quarantine")), (0..100).collect::<Vec<_>>());
}

#[test]
fn object_store_a_large_file_comes_in_parts_and_appears_whole() {
    for moment in ["copy_before:1", "copy_after:1"] {
        let place = Place::new();
        end(place.store());
        place.gather(100);
        publish_large(&place);
        die(&place, moment);
        let found = numbers(&place.lake().join("quarantine")).len();
        assert_eq!(found, if moment == "copy_before:1" { 0 } else { 100 }, "{moment}");
        place.at(&place.s3.endpoint());
        let store = place.store();
        place.site.wait_until_dry();
        end(store);
        assert_large(&place);
        let staged = || below(&place.lake().join(".staging")).len();
        until("nothing is left out of sight", || staged() == 0);
    }
}

#[test]
fn object_store_a_large_file_is_one_object() {
    let place = Place::new();
    end(place.store());
    place.gather(100);
    publish_large(&place);
    let store = place.store();
    place.site.wait_until_dry();
    end(store);
    assert_large(&place);
    let files = tests::lake::files(&place.lake());
    let sizes: Vec<_> = files.iter().map(|path| path.metadata().unwrap().len()).collect();
    assert!(matches!(sizes[..], [size] if size > 16 << 20), "{sizes:?}");
}

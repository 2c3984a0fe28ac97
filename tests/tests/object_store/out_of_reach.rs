//! The object store goes away, and comes back.

use tests::until;

use crate::{
    place::{Place, end},
    rows::{assert_once, publish},
};

#[test]
fn object_store_that_goes_away_holds_rows_up_and_loses_none() {
    let mut place = Place::new();
    let store = place.store();
    publish(&place.site, 0..2);
    place.site.wait_until_dry();
    place.s3.kill();
    publish(&place.site, 2..4);
    let said = store.says("rows stay queued");
    assert!(said.contains("s3://telemetry/lake"), "{said}");
    assert_ne!(place.site.queues()["queues"]["store"]["frames"], 0);
    place.s3.start_again();
    place.site.wait_until_dry();
    store.says("the lake can be written again");
    end(store);
    assert_once(&place.lake(), 4);
}

#[test]
fn object_store_that_is_away_at_the_start_is_waited_for() {
    let mut place = Place::new();
    place.s3.kill();
    let store = place.store();
    store.says("the lake does not answer yet");
    publish(&place.site, 0..2);
    store.says("rows stay queued");
    place.s3.start_again();
    place.site.wait_until_dry();
    end(store);
    assert_once(&place.lake(), 2);
}

/// It dies again and again while files are sent.
#[test]
fn object_store_that_dies_again_and_again_repeats_no_row() {
    let mut place = Place::new();
    let store = place.store();
    for round in 0..5 {
        publish(&place.site, round * 2..round * 2 + 2);
        let before = place.files();
        until("files come", || place.files() > before);
        place.s3.kill();
        place.s3.start_again();
    }
    place.site.wait_until_dry();
    end(store);
    assert_once(&place.lake(), 10);
}

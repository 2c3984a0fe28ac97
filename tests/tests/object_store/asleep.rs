//! Store falls asleep in a roll, somebody else takes over, and it wakes up.

use tests::until;

use crate::{
    place::{Place, end},
    rows::{assert_once, publish},
};

/// Sleeps at a moment until somebody else has written everything.
#[track_caller]
fn check(moment: &str) {
    let place = Place::new();
    end(place.store());
    publish(&place.site, 0..3);
    let sleeper = place.armed_store(&format!("{moment}:stop"));
    until("it sleeps", || sleeper.has_stopped());
    let other = place.store();
    place.site.wait_until_dry();
    assert_once(&place.lake(), 3);
    sleeper.go_on();
    // Whatever it still does, it does before it ends.
    publish(&place.site, 3..4);
    place.site.wait_until_dry();
    end(other);
    publish(&place.site, 4..5);
    place.site.wait_until_dry();
    end(sleeper);
    assert_once(&place.lake(), 5);
}

#[test]
fn object_store_who_slept_before_it_sent_a_file_meets_a_fence() {
    check("put_before:1");
    check("put_before:2");
}

#[test]
fn object_store_who_slept_after_it_sent_a_file_has_written_it() {
    check("put_after:1");
    check("put_after:3");
}

#[test]
fn object_store_who_slept_before_it_settled_settles_nothing() {
    check("settle_before:1");
}

/// Its file is merged while it sleeps, so that its name is free again.
#[test]
fn object_store_who_slept_through_a_merge_brings_nothing_back() {
    let place = Place::new();
    end(place.store());
    publish(&place.site, 0..1);
    let sleeper = place.armed_store("put_after:1:stop");
    until("it sleeps", || sleeper.has_stopped());
    let other = place.store();
    place.site.wait_until_dry();
    publish(&place.site, 1..2);
    place.site.wait_until_dry();
    tests::Child::start(place.command("compact")).ended().well();
    assert_once(&place.lake(), 2);
    end(other);
    sleeper.go_on();
    publish(&place.site, 2..3);
    place.site.wait_until_dry();
    end(sleeper);
    assert_once(&place.lake(), 3);
}

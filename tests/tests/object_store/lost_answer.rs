//! A request takes its effect, and its answer is lost; or the object store says that it is asked too much of.

use crate::{
    between::{Between, Fate},
    place::{Place, end},
    rows::{PARTITIONS, assert_once, publish},
};

const PUT: &str = "PUT /telemetry/lake/readings/";
const HEAD: &str = "HEAD /telemetry/lake/readings/";

#[test]
fn object_store_a_file_whose_answer_was_lost_is_there_and_is_not_written_again() {
    let place = Place::new();
    let lossy = Between::start(place.s3.address(), PUT, 2, Fate::AnswerLost);
    place.at(&lossy.endpoint());
    let store = place.store();
    publish(&place.site, 0..1);
    place.site.wait_until_dry();
    assert_eq!(lossy.left(), 0);
    end(store);
    assert_once(&place.lake(), 1);
    assert_eq!(place.files() as u64, PARTITIONS, "no fences, nothing again");
}

/// Both the answer to a PUT and that to the look after it are lost: the roll is given up, and what is there is found.
#[test]
fn object_store_a_file_that_cannot_be_looked_for_is_found_later() {
    let place = Place::new();
    let puts = Between::start(place.s3.address(), PUT, 1, Fate::AnswerLost);
    let looks = Between::start(puts.address(), HEAD, 8, Fate::AnswerLost);
    place.at(&looks.endpoint());
    let store = place.store();
    publish(&place.site, 0..2);
    place.site.wait_until_dry();
    end(store);
    assert_once(&place.lake(), 2);
}

/// What was refused is not there and never will be: it needs no fence, however often that is.
#[test]
fn object_store_that_is_asked_too_much_of_is_asked_again_later() {
    let place = Place::new();
    let throttles = Between::start(place.s3.address(), PUT, 4, Fate::Throttled);
    place.at(&throttles.endpoint());
    let store = place.store();
    publish(&place.site, 0..2);
    let said = store.says("rows stay queued");
    assert!(said.contains("503"), "{said}");
    place.site.wait_until_dry();
    store.says("the lake can be written again");
    end(store);
    assert_once(&place.lake(), 2);
    assert_eq!(throttles.left(), 0);
    let whole = tests::lake::files(&place.lake());
    assert!(whole.iter().all(|file| !crate::rows::numbers_in(file).is_empty()), "no fences");
}

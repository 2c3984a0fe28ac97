//! Rules that look at part of the readings.

use super::*;

fn tags(tags: &[(&str, &[&str])]) -> RuleConfig {
    let texts = |texts: &[&str]| match texts {
        [one] => TagTexts::One((*one).to_owned()),
        any => TagTexts::Any(any.iter().map(|text| (*text).to_owned()).collect()),
    };
    let tags = tags.iter().map(|(tag, any)| ((*tag).to_owned(), texts(any)));
    RuleConfig { above: Some(30.0), tags: tags.collect(), ..rule() }
}

#[test]
fn only_readings_with_the_text_count() {
    let events = "
        1 b/temperature site=south: 31
        2 site=north: 31
        3 c/temperature: 31
        4 site=south: 20
        5 site=north: 20";
    check(tags(&[("site", &["north"])]), events, &["firing at 2 since 2", "resolved at 5 since 2"]);
}

#[test]
fn one_text_of_a_list_is_enough_and_every_tag_must_fit() {
    let events = "
        1 b/temperature site=north line=one: 31
        2 c/temperature site=north line=two: 31
        3 d/temperature site=north line=three: 31
        4 e/temperature site=south line=one: 31
        5 f/temperature line=one: 31";
    let expected = ["b firing at 1 since 1", "c firing at 2 since 2"];
    check(tags(&[("site", &["north"]), ("line", &["one", "two"])]), events, &expected);
}

#[test]
fn a_frame_without_the_tag_has_no_such_reading() {
    check(tags(&[("plant", &["hall"])]), "1 site=north: 31", &[]);
}

#[test]
fn an_absence_is_that_of_readings_with_the_tag() {
    let rule = RuleConfig { above: None, absent_secs: Some(60), ..tags(&[("site", &["north"])]) };
    let events = "
        10 site=north: 1
        50 site=south: 1
        tick 69
        tick 70
        80 site=south: 1
        90 site=north: 1";
    check(rule, events, &["firing at 70 since 10", "resolved at 90 since 10"]);
}

/// Readings of one device may differ in their tags, so one that does not fit ends nothing; a device that has moved
/// to another site looks the same.
#[test]
fn readings_with_another_tag_leave_an_alert_as_it_is() {
    let events = "
        1 site=north: 31
        2 site=south: 20
        900 site=south: 20
        tick 1000
        tick 1001";
    check(tags(&[("site", &["north"])]), events, &["firing at 1 since 1", "expired at 1001 since 1"]);
}

#[test]
fn the_tags_of_a_rule_are_looked_up_once_for_all_metrics() {
    let any =
        RuleConfig { above: None, metric: None, absent_secs: Some(60), ..tags(&[("site", &["north"])]) };
    let alert = alert(vec![any]);
    let [frame] = frames(&script("1 site=north: 31\n2 a/pressure site=north: 1"), false).try_into().unwrap();
    let (readings, mut state) = (Readings::of(&frame).unwrap(), AlertState::default());
    let mut lookout = Lookout::new(&alert.rules, &readings);
    let [first, second] = [0, 1].map(|row| lookout.of_row(&readings, row, &mut state)[0].clone());
    assert!(std::rc::Rc::ptr_eq(&first, &second));
}

//! Rules that cannot be carried out.

use super::*;

#[track_caller]
fn refused(rule: RuleConfig, expected: &[&str]) {
    let config = AlertConfig { rules: vec![rule], idle_secs: 1000 };
    let mistakes = Alert::new(&config).map_or_else(|mistakes| mistakes, |_| Vec::new());
    let texts: Vec<_> = mistakes.iter().map(|mistake| format!("{} {mistake}", mistake.pointer())).collect();
    assert_eq!(texts, expected);
}

#[test]
fn a_rule_waits_for_one_thing() {
    let text = "/0 rule \"hot\" needs exactly one of above, at_least, below, at_most, \
                anomaly_score_at_least and absent_secs";
    refused(rule(), &[text]);
    refused(RuleConfig { above: Some(1.0), below: Some(0.0), ..rule() }, &[text]);
    refused(RuleConfig { above: Some(1.0), absent_secs: Some(60), ..rule() }, &[text]);
}

#[test]
fn names_are_unique() {
    let rule = RuleConfig { above: Some(1.0), ..rule() };
    let config = AlertConfig { rules: vec![rule.clone(), rule], ..AlertConfig::default() };
    let mistakes = Alert::new(&config).unwrap_err();
    assert_eq!(mistakes.iter().map(RuleMistake::pointer).collect::<Vec<_>>(), ["/1/name"]);
    assert_eq!(
        mistakes[0].to_string(),
        "rule \"hot\" has the name of an earlier rule; alerts are told apart by it"
    );
}

#[test]
fn a_condition_needs_a_metric() {
    let rule = RuleConfig { metric: None, above: Some(1.0), ..rule() };
    refused(rule, &["/0 rule \"hot\" needs the key metric; only one with absent_secs can do without"]);
}

#[test]
fn an_alert_clears_on_the_near_side_of_its_threshold() {
    let clear = |clear| RuleConfig { clear: Some(clear), ..rule() };
    let text = |condition: &str, allowed: &str, clear: &str| {
        format!(
            "/0/clear rule \"hot\" fires when {condition}, so it can clear only at {allowed}, not at {clear}"
        )
    };
    for (rule, wrong) in [
        (RuleConfig { above: Some(80.0), ..clear(80.0) }, None),
        (RuleConfig { above: Some(80.0), ..clear(85.0) }, Some(text("above 80", "80 or less", "85"))),
        (RuleConfig { at_least: Some(80.0), ..clear(80.5) }, Some(text("at least 80", "80 or less", "80.5"))),
        (RuleConfig { below: Some(10.0), ..clear(12.0) }, None),
        (RuleConfig { below: Some(10.0), ..clear(9.0) }, Some(text("below 10", "10 or more", "9"))),
        (RuleConfig { at_most: Some(10.0), ..clear(-10.0) }, Some(text("at most 10", "10 or more", "-10"))),
        (RuleConfig { anomaly_score_at_least: Some(0.9), ..clear(0.5) }, None),
        (
            RuleConfig { anomaly_score_at_least: Some(0.9), ..clear(0.0) },
            Some(text("anomaly score at least 0.9", "0.9 or less, and more than 0", "0")),
        ),
    ] {
        refused(rule, &wrong.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

#[test]
fn an_absence_is_no_condition() {
    let rule = RuleConfig { absent_secs: Some(60), clear: Some(1.0), for_secs: 5, ..rule() };
    refused(
        rule,
        &[
            "/0/clear rule \"hot\" has absent_secs, beside which clear means nothing; leave it out",
            "/0/for_secs rule \"hot\" has absent_secs, beside which for_secs means nothing; leave it out",
        ],
    );
}

#[test]
fn an_absence_fires_before_the_device_is_forgotten() {
    refused(RuleConfig { absent_secs: Some(999), ..rule() }, &[]);
    let text = "/0/absent_secs rule \"hot\" would fire after 1000 s, but a silent device is forgotten after \
                alert.idle_secs (1000); make that greater";
    refused(RuleConfig { absent_secs: Some(1000), ..rule() }, &[text]);
}

#[test]
fn tags_are_those_of_the_topics() {
    let text = || TagTexts::One("x".to_owned());
    let tags = [("site".to_owned(), text()), ("s/te".to_owned(), text())];
    let config = AlertConfig { rules: vec![RuleConfig { tags: tags.into(), ..rule() }], idle_secs: 1000 };
    let unknown = |known: &[&str]| {
        let known: Vec<_> = known.iter().map(|tag| (*tag).to_owned()).collect();
        let mistakes = config.unknown_tags(&known);
        mistakes.iter().map(|mistake| format!("{} {mistake}", mistake.pointer())).collect::<Vec<_>>()
    };
    let expected = "/0/tags/s~1te rule \"hot\" looks at the tag \"s/te\", which no topic defines; known here: line, site";
    assert_eq!(unknown(&["line", "site"]), [expected]);
    assert_eq!(unknown(&[]).len(), 2);
    assert!(unknown(&[])[1].ends_with("which no topic defines; none defines any"));
}

#[test]
fn a_rule_must_be_able_to_fit_a_reading() {
    let tags = [("site".to_owned(), TagTexts::Any(Vec::new()))];
    refused(
        RuleConfig { above: Some(1.0), tags: tags.into(), ..rule() },
        &[
            "/0/tags/site rule \"hot\" allows no text for the tag \"site\", and could never fire; name one or \
             leave the tag out",
        ],
    );
}

use proptest::prelude::*;

use super::{Pattern, Topics};

fn captures(pattern: &str, topic: &str) -> Option<Vec<(String, String)>> {
    let topics = Topics::new(vec![Pattern::parse(pattern).unwrap()]);
    let found = topics.find(topic)?;
    let names = topics.patterns()[0].captures();
    Some(names.map(|name| (name.to_owned(), found.capture(name).unwrap().to_owned())).collect())
}

#[track_caller]
fn check(pattern: &str, topic: &str, expected: &[(&str, &str)]) {
    let expected = expected.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    assert_eq!(captures(pattern, topic), Some(expected), "{pattern} on {topic}");
}

#[track_caller]
fn check_none(pattern: &str, topics: &[&str]) {
    for topic in topics {
        assert_eq!(captures(pattern, topic), None, "{pattern} on {topic}");
    }
}

#[track_caller]
fn check_refused(pattern: &str, message: &str) {
    let error = Pattern::parse(pattern).unwrap_err().to_string();
    assert!(error.contains(message), "{error}");
    assert!(pattern.len() > 99 || error.contains(&format!("{pattern:?}")), "{error}");
}

#[test]
fn captures_are_slices_of_the_topic() {
    check("devices/{device}/telemetry", "devices/d1/telemetry", &[("device", "d1")]);
    check(
        "{site}/{line}/{device}/#",
        "berlin/l2/press/a/b",
        &[("site", "berlin"), ("line", "l2"), ("device", "press")],
    );
    check("a/{x}/{y}", "a/é/{}", &[("x", "é"), ("y", "{}")]);
    check("plain/topic", "plain/topic", &[]);
}

#[test]
fn wildcards_match_as_in_mqtt() {
    check("+/b", "a/b", &[]);
    check("+/b", "/b", &[]);
    check("a/+", "a/", &[]);
    check("#", "a/b/c", &[]);
    check("a/#", "a", &[]);
    check("a/#", "a/", &[]);
    check("/a", "/a", &[]);
    check_none("+/b", &["b", "a/b/c", "a/c", "a/B"]);
    check_none("a/+", &["a", "a/b/c"]);
    check_none("a/#", &["b", "ab", "A/b"]);
    check_none("a", &["", "/a", "a/"]);
}

#[test]
fn a_capture_takes_no_empty_level() {
    check_none("devices/{device}/telemetry", &["devices//telemetry"]);
    check_none("{device}", &[""]);
}

#[test]
fn a_servers_own_topics_need_a_literal() {
    for pattern in ["#", "+/#", "{device}/#", "{device}/clients"] {
        check_none(pattern, &["$SYS/clients"]);
    }
    check("$SYS/#", "$SYS/clients", &[]);
    check("a/{b}", "a/$b", &[("b", "$b")]);
}

#[test]
fn a_broker_is_asked_for_every_topic_of_a_pattern() {
    for (pattern, filter) in [
        ("devices/{device}/telemetry", "devices/+/telemetry"),
        ("{site}/+/{device}/#", "+/+/+/#"),
        ("a//b/", "a//b/"),
        ("#", "#"),
        ("/#", "/#"),
    ] {
        assert_eq!(Pattern::parse(pattern).unwrap().filter(), filter);
    }
}

#[test]
fn an_unknown_name_has_no_value() {
    let topics = Topics::new(vec![Pattern::parse("a/{b}").unwrap()]);
    assert_eq!(topics.find("a/x").unwrap().capture("c"), None);
}

#[test]
fn the_first_pattern_wins() {
    let patterns = ["a/{x}", "a/+", "#"].map(|text| Pattern::parse(text).unwrap());
    let topics = Topics::new(patterns.to_vec());
    assert_eq!(topics.find("a/b").map(|found| found.pattern), Some(0));
    assert_eq!(topics.find("a/").map(|found| found.pattern), Some(1));
    assert_eq!(topics.find("b").map(|found| found.pattern), Some(2));
    assert!(topics.find("$SYS").is_none());
}

#[test]
fn a_bad_pattern_says_what_is_wrong() {
    check_refused("", "it is empty");
    check_refused("a\0b", "NUL");
    check_refused(&"a".repeat(65_536), "longer than 65535 bytes");
    check_refused("a/#/b", "`#` may only be the last level");
    check_refused("a/b#", "mixes a wildcard");
    check_refused("a+/b", "mixes a wildcard");
    check_refused("dev-{device}/t", "mixes a capture");
    check_refused("{a}{b}", "mixes a capture");
    check_refused("{device", "mixes a capture");
    check_refused("a/{}", "\"\" cannot name a capture");
    check_refused("a/{1st}", "\"1st\" cannot name a capture");
    check_refused("a/{x y}", "\"x y\" cannot name a capture");
    check_refused("{a}/{b}/{a}", "captures \"a\" twice");
}

/// The rule by recursion, over levels as text.
fn naive(pattern: &[&str], topic: &[&str]) -> bool {
    match (pattern, topic) {
        (["#"], _) | ([], []) => true,
        (["+", pattern @ ..], [_, topic @ ..]) => naive(pattern, topic),
        ([name, pattern @ ..], [level, topic @ ..]) if name.starts_with('{') => {
            !level.is_empty() && naive(pattern, topic)
        }
        ([literal, pattern @ ..], [level, topic @ ..]) => literal == level && naive(pattern, topic),
        _ => false,
    }
}

proptest! {
    #[test]
    fn matching_is_that_of_the_rule(
        mut pattern in prop::collection::vec(prop::sample::select(vec!["a", "b", "", "+", "{x}", "$a"]), 1..5),
        rest in any::<bool>(),
        topic in prop::collection::vec(prop::sample::select(vec!["a", "b", "", "$a"]), 1..6),
    ) {
        let names: Vec<String> = (0..pattern.len()).map(|level| format!("{{x{level}}}")).collect();
        for (level, name) in pattern.iter_mut().zip(&names) {
            if *level == "{x}" {
                *level = name;
            }
        }
        if rest {
            pattern.push("#");
        }
        prop_assume!(pattern != [""]);
        let hidden = topic[0].starts_with('$') && (pattern[0] == "+" || pattern[0].starts_with('{'));
        let text = pattern.join("/");
        prop_assert_eq!(
            Pattern::parse(&text).unwrap().matches(&topic.join("/")),
            !hidden && naive(&pattern, &topic),
            "{}", text
        );
    }

    #[test]
    fn no_text_panics(pattern in ".{0,12}", topic in ".{0,12}") {
        if let Ok(pattern) = Pattern::parse(&pattern) {
            pattern.matches(&topic);
        }
    }
}

//! Which topic filters to subscribe to.

/// The filters to subscribe to for `topics`: without those that others of them cover, since a broker would send
/// their messages twice, and shared by `group`, if there is one (MQTT 5.0, 4.8.2).
pub(crate) fn filters(topics: &[String], group: Option<&str>) -> Vec<String> {
    let needed = topics.iter().enumerate().filter(|(index, topic)| {
        let covered = |(other_index, other): (usize, &String)| {
            // Of equal ones the first is left.
            if other == *topic { other_index < *index } else { covers(other, topic) }
        };
        !topics.iter().enumerate().any(covered)
    });
    needed
        .map(|(_, topic)| match group {
            Some(group) => format!("$share/{group}/{topic}"),
            None => topic.clone(),
        })
        .collect()
}

/// Whether every topic that `narrow` takes is one that `wide` takes, too.
fn covers(wide: &str, narrow: &str) -> bool {
    // Wildcards do not reach a server's own topics (MQTT 5.0, 4.7.2).
    if narrow.starts_with('$') && wide.starts_with(['+', '#']) {
        return false;
    }
    let (mut wide, mut narrow) = (wide.split('/'), narrow.split('/'));
    loop {
        match (wide.next(), narrow.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(level)) if level != "#" => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(topics: &[&str]) -> Vec<String> {
        filters(&topics.iter().map(|topic| (*topic).to_owned()).collect::<Vec<_>>(), None)
    }

    #[test]
    fn what_is_covered_is_not_asked_for_twice() {
        assert_eq!(plain(&["a/+/b", "c/d"]), ["a/+/b", "c/d"]);
        assert_eq!(plain(&["a/1/b", "a/+/b", "a/+/+"]), ["a/+/+"]);
        assert_eq!(plain(&["a/#", "a", "a/b/c", "ab"]), ["a/#", "ab"]);
        assert_eq!(plain(&["a/+", "a/#"]), ["a/#"]);
        assert_eq!(plain(&["a/+", "+/b", "a/+"]), ["a/+", "+/b"]);
        assert_eq!(plain(&["#", "$SYS/#", "x"]), ["#", "$SYS/#"]);
    }

    #[test]
    fn a_group_shares_every_filter() {
        assert_eq!(filters(&["a/+".to_owned(), "b".to_owned()], Some("g")), ["$share/g/a/+", "$share/g/b"]);
    }
}

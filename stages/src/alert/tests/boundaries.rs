//! What holds for any readings in any order; above all, where frames begin and end changes nothing.

use proptest::{collection::vec, prelude::*};

use super::*;

/// Readings of few devices and metrics with values around the thresholds, and a tick now and then.
fn event() -> impl Strategy<Value = Event> {
    let row = (0..4_u8, 0..3_u8, 0..400_i64, 0..400_i64, 0..8_u8, 60..100_i32, 0..3_u8).prop_map(
        |(device, metric, secs, received, kind, value, site)| {
            Event::Reading(Row {
                device: format!("device-{device}"),
                metric: ["temperature", "pressure", "other"][usize::from(metric)].to_owned(),
                secs,
                received,
                late: kind == 0,
                value: if kind == 1 { Err("off".to_owned()) } else { Ok(value.into()) },
                site: [None, Some("north"), Some("south")][usize::from(site)].map(str::to_owned),
                line: None,
            })
        },
    );
    prop_oneof![6 => row, 1 => (0..2000_i64).prop_map(|secs| Event::Tick { secs })]
}

fn rules() -> Vec<RuleConfig> {
    let named = |name: &str| RuleConfig { name: name.to_owned(), ..rule() };
    let north = [("site".to_owned(), TagTexts::One("north".to_owned()))];
    vec![
        RuleConfig { above: Some(80.0), clear: Some(70.0), ..named("hot") },
        RuleConfig { at_most: Some(70.0), for_secs: 20, tags: north.into(), ..named("cold") },
        RuleConfig { anomaly_score_at_least: Some(0.9), ..named("odd") },
        RuleConfig { absent_secs: Some(100), ..named("silent") },
        RuleConfig { absent_secs: Some(50), metric: None, ..named("gone") },
    ]
}

/// The rows and ticks of `frames`, with the frames of readings cut behind the rows that `cuts` marks.
fn split(events: &[Event], cuts: &[bool]) -> Vec<Frame> {
    let mut pieces = vec![Vec::new()];
    for (event, cut) in events.iter().zip(cuts) {
        pieces.last_mut().unwrap().push(event.clone());
        if *cut {
            pieces.push(Vec::new());
        }
    }
    pieces.iter().flat_map(|piece| frames(piece, false)).collect()
}

proptest! {
    #[test]
    fn any_split_leads_to_the_same_alerts(
        (events, cuts) in vec(event(), 1..80).prop_flat_map(|events| {
            let cuts = vec(any::<bool>(), events.len());
            (Just(events), cuts)
        })
    ) {
        let alert = alert(rules());
        let whole = run(&alert, &frames(&events, false));
        prop_assert_eq!(&run(&alert, &split(&events, &cuts)), &whole);
        prop_assert_eq!(&run_anew(&alert, &split(&events, &cuts)), &whole);
    }

    /// Rows of few instants, so that many are out of order or share one, and nobody is silent for long enough to
    /// be forgotten.
    #[test]
    fn an_alert_begins_after_the_last_one_ended(events in vec(event(), 1..200)) {
        let crowded = events.into_iter().map(|event| match event {
            Event::Reading(row) => Event::Reading(Row {
                device: "a".to_owned(), secs: row.secs % 30, received: row.received % 30, ..row
            }),
            Event::Tick { secs } => Event::Tick { secs: secs % 1000 },
        });
        let crowded: Vec<_> = crowded.collect();
        let rows = run(&alert(rules()), &frames(&crowded, false));
        for (place, fired) in rows.iter().enumerate().filter(|(_, row)| row.state == "firing") {
            let before = rows.iter().take(place).filter(|row| row.rule == fired.rule);
            for row in before {
                let [ts, since, received_at] = row.times;
                prop_assert!(since < fired.times[1] && row.alert != fired.alert, "{:?} {:?}", row, fired);
                if row.state == "resolved" && row.value.is_some() {
                    prop_assert!(ts.min(received_at) < fired.times[1], "{:?} {:?}", row, fired);
                }
            }
        }
    }

    /// A string may stand behind several keys of a joined frame.
    #[test]
    fn a_joined_frame_is_like_its_parts(events in vec(event(), 1..40)) {
        let alert = alert(rules());
        let events: Vec<_> = events.into_iter().filter(|event| matches!(event, Event::Reading(_))).collect();
        prop_assume!(!events.is_empty());
        let parts = frames(&events, true);
        let joined = Frame::coalesce(&parts).unwrap();
        prop_assert_eq!(run(&alert, &[joined]), run(&alert, &parts));
    }
}

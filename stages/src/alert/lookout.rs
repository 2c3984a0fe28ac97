//! Which rules look at which rows of a frame. Metrics and tags are compared once per distinct text, not per row.

use std::rc::Rc;

use super::{rule::Rule, state::AlertState};
use crate::frame::{Readings, Strings};

/// The rules by the metrics of one frame, worked out as the metrics come up.
pub(super) struct Lookout<'a> {
    rules: Vec<Wanted<'a>>,
    by_metric: Vec<Option<Vec<Rc<Watcher<'a>>>>>,
}

/// A rule, and what came of looking for its tags in the frame; a rule without a metric is wanted for each.
struct Wanted<'a> {
    rule: &'a Rule,
    watcher: Option<Option<Rc<Watcher<'a>>>>,
}

/// A rule that looks at rows of the frame.
pub(super) struct Watcher<'a> {
    pub(super) rule: &'a Rule,
    /// Its slot in the state.
    pub(super) slot: usize,
    tags: Vec<Tag<'a>>,
}

/// A tag of the frame, and which of its keys the rule wants.
struct Tag<'a> {
    column: Strings<'a>,
    wanted: Vec<bool>,
}

impl<'a> Lookout<'a> {
    pub(super) fn new(rules: &'a [Rule], readings: &Readings<'a>) -> Self {
        let mut by_metric = Vec::new();
        by_metric.resize_with(readings.metrics().distinct(), || None);
        let rules = rules.iter().map(|rule| Wanted { rule, watcher: None });
        Self { rules: rules.collect(), by_metric }
    }

    /// The rules that look at the metric of `row`, whatever its tags.
    pub(super) fn of_row(
        &mut self,
        readings: &Readings<'a>,
        row: usize,
        state: &mut AlertState,
    ) -> &[Rc<Watcher<'a>>] {
        let rules = &mut self.rules;
        let place = readings.metrics().key(row).and_then(|key| self.by_metric.get_mut(key));
        let (Some(place), Some(metric)) = (place, readings.metrics().get(row)) else { return &[] };
        place.get_or_insert_with(|| {
            let rules = rules.iter_mut().filter(|wanted| wanted.rule.looks_at(metric));
            rules.filter_map(|wanted| wanted.watcher(readings, state)).collect()
        })
    }
}

impl<'a> Wanted<'a> {
    fn watcher(&mut self, readings: &Readings<'a>, state: &mut AlertState) -> Option<Rc<Watcher<'a>>> {
        let rule = self.rule;
        self.watcher.get_or_insert_with(|| Watcher::new(rule, readings, state).map(Rc::new)).clone()
    }
}

impl<'a> Watcher<'a> {
    /// None when no row of the frame has the tags that the rule wants.
    fn new(rule: &'a Rule, readings: &Readings<'a>, state: &mut AlertState) -> Option<Self> {
        let mut tags = Vec::with_capacity(rule.tags.len());
        for (name, texts) in &rule.tags {
            let column = readings.tag(name)?;
            let wanted: Vec<bool> = (0..column.distinct())
                .map(|key| {
                    column.at(key).is_some_and(|text| texts.texts().iter().any(|wanted| wanted == text))
                })
                .collect();
            if !wanted.contains(&true) {
                return None;
            }
            tags.push(Tag { column, wanted });
        }
        Some(Self { rule, slot: state.rule_slot(&rule.key), tags })
    }

    /// Whether `row` has the tags that the rule wants.
    pub(super) fn fits(&self, row: usize) -> bool {
        self.tags.iter().all(|tag| {
            let key = tag.column.key(row);
            key.and_then(|key| tag.wanted.get(key)).is_some_and(|wanted| *wanted)
        })
    }
}

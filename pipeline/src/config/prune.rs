//! A config without the parts that its schema refuses, so that the others can be checked in the same go.

use serde_json::Value;

use super::{
    finding::Finding,
    pointer::{split, tokens},
    shape,
    yaml::DEPTH_MAX,
};

/// What is left of a config, and what was taken away.
#[derive(Debug)]
pub(super) struct Pruned {
    value: Value,
    /// What was taken away, as JSON pointers into the whole.
    removed: Vec<String>,
    /// The list and the index of each entry taken out of a list, in the order of taking.
    entries: Vec<(String, usize)>,
}

impl Pruned {
    /// Takes everything away that `schema` refuses, and says what and why.
    pub(super) fn of(value: Value, schema: &Value) -> (Self, Vec<Finding>) {
        let mut pruned = Self { value, removed: Vec::new(), entries: Vec::new() };
        let findings = shape::findings(schema, &pruned.value);
        let mut next: Vec<_> = findings.iter().map(|finding| finding.pointer.clone()).collect();
        // What is left may lack a key that it needs: then it goes, too. Each round takes away something higher.
        for _ in 0..DEPTH_MAX {
            if next.is_empty() {
                break;
            }
            pruned.remove(next);
            next =
                shape::findings(schema, &pruned.value).into_iter().map(|finding| finding.pointer).collect();
        }
        (pruned, findings)
    }

    pub(super) fn value(&self) -> &Value {
        &self.value
    }

    /// Whether the config says what the pointer names, and says it well.
    pub(super) fn gives(&self, pointer: &str) -> bool {
        self.value.pointer(pointer).is_some()
    }

    /// Whether what the pointer names was taken away, or the part that it is in.
    pub(super) fn lost(&self, pointer: &str) -> bool {
        self.removed.iter().any(|removed| is_within(pointer, removed))
    }

    /// Findings about what is left, with pointers into the whole. Without those about a part of which something
    /// was taken away: it might be right once that is.
    pub(super) fn restore(&self, findings: Vec<Finding>) -> Vec<Finding> {
        let mut restored = Vec::new();
        for finding in findings {
            // What is not there is a finding about what lacks it.
            let part = match split(&finding.pointer) {
                Some((parent, _)) if !self.gives(&finding.pointer) => parent,
                _ => &finding.pointer,
            };
            let part = self.restore_pointer(part.to_owned());
            if !self.removed.iter().any(|removed| is_within(&part, removed) || is_within(removed, &part)) {
                restored.push(finding.at(|pointer| self.restore_pointer(pointer)));
            }
        }
        restored
    }

    fn remove(&mut self, mut pointers: Vec<String>) {
        // From the back, so that taking out one entry of a list moves none that is still to go.
        pointers.sort_by_cached_key(|pointer| {
            tokens(pointer).map(|token| (token.parse().unwrap_or(usize::MAX), token)).collect::<Vec<_>>()
        });
        pointers.dedup();
        self.removed
            .extend(pointers.iter().map(|pointer| self.restore_pointer(pointer.clone())).collect::<Vec<_>>());
        for pointer in pointers.iter().rev() {
            let Some((parent, token)) = split(pointer) else {
                self.value = Value::Object(serde_json::Map::new());
                continue;
            };
            match (self.value.pointer_mut(parent), token.parse()) {
                (Some(Value::Object(object)), _) => {
                    object.remove(&token);
                }
                (Some(Value::Array(array)), Ok(index)) if index < array.len() => {
                    array.remove(index);
                    self.entries.push((parent.to_owned(), index));
                }
                _ => {}
            }
        }
    }

    /// A pointer into what is left as the one into the whole.
    fn restore_pointer(&self, pointer: String) -> String {
        self.entries.iter().rev().fold(pointer, |pointer, (list, removed)| {
            let below = pointer.strip_prefix(list.as_str()).and_then(|rest| rest.strip_prefix('/'));
            let index = below.and_then(|below| below.split('/').next()).unwrap_or_default();
            match index.parse::<usize>() {
                Ok(number) if number >= *removed => {
                    let rest = &pointer[list.len() + 1 + index.len()..];
                    format!("{list}/{}{rest}", number + 1)
                }
                _ => pointer,
            }
        })
    }
}

/// Whether `inner` names `outer`, or something in it.
fn is_within(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

//! Writes of one item each, by themselves or in a transaction.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    error::BuildError,
    types::{AttributeValue, ConditionCheck, Put, TransactWriteItem, Update},
};

use super::{
    Item, Key,
    item::{numeric, text, texts},
};

/// One write of a transaction.
pub(crate) enum Action {
    /// An item as it is to be, whatever was there.
    Put(Item),
    /// An item that changes under a condition.
    Change(Change),
    /// An item that must be as it is thought to be.
    Check(Check),
}

/// What aliases stand for.
type Names = HashMap<String, String>;

/// Names and values of an expression. Every name goes by an alias: DynamoDB keeps many words for itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Terms {
    pub(super) names: Names,
    pub(super) values: Item,
}

impl Terms {
    fn name(&mut self, name: &str) -> String {
        let alias = format!("#{name}");
        self.names.insert(alias.clone(), name.to_owned());
        alias
    }

    fn value(&mut self, value: AttributeValue) -> String {
        let alias = format!(":v{}", self.values.len());
        self.values.insert(alias.clone(), value);
        alias
    }

    fn equals(&mut self, name: &str, value: AttributeValue) -> String {
        format!("{} = {}", self.name(name), self.value(value))
    }

    fn absent(&mut self, name: &str) -> String {
        format!("attribute_not_exists({})", self.name(name))
    }

    fn one_of(&mut self, name: &str, values: &[&str]) -> String {
        let values: Vec<_> = values.iter().map(|value| self.value(text(*value))).collect();
        format!("{} IN ({})", self.name(name), values.join(", "))
    }

    /// DynamoDB takes no empty maps.
    pub(super) fn split(self) -> (Option<Names>, Option<Item>) {
        let (names, values) = (self.names, self.values);
        ((!names.is_empty()).then_some(names), (!values.is_empty()).then_some(values))
    }
}

/// A change of one item, made if it is not there, provided that all its conditions hold.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(super) key: Key,
    pub(super) terms: Terms,
    sets: Vec<String>,
    adds: Vec<String>,
    removes: Vec<String>,
    conditions: Vec<String>,
}

impl Change {
    pub(crate) fn of(key: Key) -> Self {
        let [sets, adds, removes, conditions] = [const { Vec::new() }; 4];
        Self { key, terms: Terms::default(), sets, adds, removes, conditions }
    }

    /// Makes an item, if none is there.
    pub(crate) fn new_item(item: Item) -> Self {
        let key = Key::of(&item).unwrap_or_else(|| Key::new("", ""));
        let values = item.into_iter().filter(|(name, _)| name != "pk" && name != "sk");
        values.fold(Self::of(key).when_absent("pk"), |change, (name, value)| change.set(&name, value))
    }

    pub(crate) fn set(mut self, name: &str, value: AttributeValue) -> Self {
        let set = self.terms.equals(name, value);
        self.sets.push(set);
        self
    }

    /// Adds to a number; one that is not there counts as `from`.
    pub(super) fn add_from(mut self, name: &str, from: u64, value: u64) -> Self {
        let (name, from, value) =
            (self.terms.name(name), self.terms.value(numeric(from)), self.terms.value(numeric(value)));
        self.sets.push(format!("{name} = if_not_exists({name}, {from}) + {value}"));
        self
    }

    pub(super) fn add(mut self, name: &str, value: u64) -> Self {
        let add = format!("{} {}", self.terms.name(name), self.terms.value(numeric(value)));
        self.adds.push(add);
        self
    }

    pub(crate) fn remove(mut self, name: &str) -> Self {
        let name = self.terms.name(name);
        self.removes.push(name);
        self
    }

    pub(crate) fn when_equals(mut self, name: &str, value: AttributeValue) -> Self {
        let condition = self.terms.equals(name, value);
        self.conditions.push(condition);
        self
    }

    pub(crate) fn when_absent(mut self, name: &str) -> Self {
        let condition = self.terms.absent(name);
        self.conditions.push(condition);
        self
    }

    pub(crate) fn when_one_of(mut self, name: &str, values: &[&str]) -> Self {
        let condition = self.terms.one_of(name, values);
        self.conditions.push(condition);
        self
    }

    /// Exchanges a list; an empty one before is none.
    pub(crate) fn exchange(self, name: &str, before: &[String], after: &[String]) -> Self {
        let changed = self.set(name, texts(after));
        if before.is_empty() { changed.when_absent(name) } else { changed.when_equals(name, texts(before)) }
    }

    pub(super) fn expression(&self) -> String {
        let clause = |word: &str, parts: &[String]| match parts {
            [] => String::new(),
            parts => format!("{word} {} ", parts.join(", ")),
        };
        let clauses = [clause("SET", &self.sets), clause("ADD", &self.adds), clause("REMOVE", &self.removes)];
        clauses.concat().trim_end().to_owned()
    }

    pub(super) fn condition(&self) -> Option<String> {
        (!self.conditions.is_empty()).then(|| self.conditions.join(" AND "))
    }
}

/// A condition on an item that stays as it is.
pub(crate) struct Check {
    key: Key,
    terms: Terms,
    condition: String,
}

impl Check {
    pub(crate) fn equals(key: Key, name: &str, value: AttributeValue) -> Self {
        let mut terms = Terms::default();
        let condition = terms.equals(name, value);
        Self { key, terms, condition }
    }

    pub(crate) fn absent(key: Key) -> Self {
        let mut terms = Terms::default();
        let condition = terms.absent("pk");
        Self { key, terms, condition }
    }
}

impl Action {
    /// As a part of a transaction on `table`.
    pub(super) fn write(self, table: &str) -> Result<TransactWriteItem, BuildError> {
        let write = TransactWriteItem::builder();
        Ok(match self {
            Self::Put(item) => write.put(Put::builder().table_name(table).set_item(Some(item)).build()?),
            Self::Change(change) => {
                let (expression, condition) = (change.expression(), change.condition());
                let (names, values) = change.terms.split();
                let update = Update::builder()
                    .table_name(table)
                    .set_key(Some(change.key.item()))
                    .update_expression(expression)
                    .set_condition_expression(condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values);
                write.update(update.build()?)
            }
            Self::Check(check) => {
                let (names, values) = check.terms.split();
                let condition = ConditionCheck::builder()
                    .table_name(table)
                    .set_key(Some(check.key.item()))
                    .condition_expression(check.condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values);
                write.condition_check(condition.build()?)
            }
        }
        .build())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_says_what_it_sets_and_adds_under_all_its_conditions() {
        let change = Change::of(Key::new("state#alert#1", "head"))
            .set("number", numeric(3))
            .add("consumed", 7)
            .when_equals("number", numeric(2));
        assert_eq!(change.expression(), "SET #number = :v0 ADD #consumed :v1");
        assert_eq!(change.condition().as_deref(), Some("#number = :v2"));
        assert_eq!(change.terms.names.len(), 2);
        let grown = Change::of(Key::new("frame#1", "frame")).exchange("rolls", &[], &["a".to_owned()]);
        assert_eq!(grown.condition().as_deref(), Some("attribute_not_exists(#rolls)"));
    }
}

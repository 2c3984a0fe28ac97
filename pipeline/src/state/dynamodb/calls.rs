//! The calls of DynamoDB that the table needs. All reads are consistent ones.

use std::{collections::HashMap, time::Duration};

use aws_sdk_dynamodb::{
    error::ProvideErrorMetadata,
    operation::transact_write_items::TransactWriteItemsError,
    types::{CancellationReason, DeleteRequest, KeysAndAttributes, ReturnValue, WriteRequest},
};
use tokio::time::sleep;

use super::{Action, Change, Item, Key, Table, TableError, item::text};
use crate::pause::spread;

/// Keys that one call reads, and that one deletes, at most.
const READ_MAX: usize = 100;
const DELETED_MAX: usize = 25;
/// Actions of one transaction, at most.
pub(crate) const ACTIONS_MAX: usize = 100;

/// What a call leaves undone is asked for again so often, after a pause that doubles.
const TRIES: u32 = 8;
/// The same of a transaction: whoever is in its way is done by then.
const TRIES_IN_CONFLICT: u32 = 4;
const PAUSE_MIN: Duration = Duration::from_millis(20);

/// Why a part of a transaction undid the whole.
const IN_CONFLICT: [&str; 3] = ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"];

impl Table {
    /// One item, if it is there.
    pub(crate) async fn get(&self, key: &Key) -> Result<Option<Item>, TableError> {
        self.requested("get");
        let call = self.inner.client.get_item().table_name(self.name()).set_key(Some(key.item()));
        let answer = call.consistent_read(true).send().await;
        Ok(answer.map_err(|error| self.failed("read", &error))?.item)
    }

    /// Those of the items that are there.
    pub(crate) async fn get_all(&self, keys: &[Key]) -> Result<HashMap<Key, Item>, TableError> {
        let mut found = HashMap::new();
        for chunk in keys.chunks(READ_MAX) {
            let mut left: Vec<Item> = chunk.iter().map(Key::item).collect();
            let mut pause = PAUSE_MIN;
            for _ in 0..TRIES {
                let asked = KeysAndAttributes::builder().set_keys(Some(left)).consistent_read(true).build();
                let asked = asked.map_err(|error| self.refused("read", error))?;
                self.requested("batch_get");
                let answer = self.inner.client.batch_get_item().request_items(self.name(), asked).send();
                let answer = answer.await.map_err(|error| self.failed("read", &error))?;
                let items = answer.responses.into_iter().flat_map(|mut tables| tables.remove(self.name()));
                found.extend(items.flatten().filter_map(|item| Some((Key::of(&item)?, item))));
                let undone = answer.unprocessed_keys.and_then(|mut tables| tables.remove(self.name()));
                left = undone.map(|undone| undone.keys).unwrap_or_default();
                if left.is_empty() {
                    break;
                }
                sleep(spread(pause)).await;
                pause *= 2;
            }
            if !left.is_empty() {
                return Err(self.busy("read", "it leaves items out"));
            }
        }
        Ok(found)
    }

    /// All items of `pk` from the key `first` to the key `last`, in their order; of each only `attributes`, if any are named.
    pub(crate) async fn range(
        &self,
        pk: &str,
        (first, last): (&str, &str),
        attributes: &[&str],
    ) -> Result<Vec<Item>, TableError> {
        let values = HashMap::from([
            (":pk".to_owned(), text(pk)),
            (":first".to_owned(), text(first)),
            (":last".to_owned(), text(last)),
        ]);
        let query = self.inner.client.query().table_name(self.name()).consistent_read(true);
        let mut query = query
            .key_condition_expression("pk = :pk AND sk BETWEEN :first AND :last")
            .set_expression_attribute_values(Some(values));
        if !attributes.is_empty() {
            let alias = |name: &&str| format!("#{name}");
            let names = attributes.iter().map(|name| (alias(name), (*name).to_owned())).collect();
            let aliases: Vec<_> = attributes.iter().map(alias).collect();
            query =
                query.projection_expression(aliases.join(", ")).set_expression_attribute_names(Some(names));
        }
        let (mut items, mut after) = (Vec::new(), None);
        loop {
            self.requested("query");
            let answer = query.clone().set_exclusive_start_key(after).send().await;
            let answer = answer.map_err(|error| self.failed("read", &error))?;
            items.extend(answer.items.unwrap_or_default());
            after = answer.last_evaluated_key.filter(|key| !key.is_empty());
            if after.is_none() {
                return Ok(items);
            }
        }
    }

    /// Writes an item, whatever was there.
    pub(crate) async fn put(&self, item: Item) -> Result<(), TableError> {
        self.requested("put");
        let answer = self.inner.client.put_item().table_name(self.name()).set_item(Some(item)).send().await;
        answer.map(drop).map_err(|error| self.failed("write", &error))
    }

    /// Changes an item; what it has afterwards of what was changed, or none where a condition does not hold.
    pub(crate) async fn change(&self, change: Change) -> Result<Option<Item>, TableError> {
        let (expression, condition) = (change.expression(), change.condition());
        let (names, values) = change.terms.split();
        self.requested("update");
        let call = self.inner.client.update_item().table_name(self.name());
        let call = call
            .set_key(Some(change.key.item()))
            .update_expression(expression)
            .set_condition_expression(condition)
            .set_expression_attribute_names(names)
            .set_expression_attribute_values(values)
            .return_values(ReturnValue::UpdatedNew);
        match call.send().await {
            Ok(answer) => Ok(Some(answer.attributes.unwrap_or_default())),
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(None),
            Err(error) => Err(self.failed("write", &error)),
        }
    }

    /// Does all of `actions` or, where a condition does not hold, nothing: then false. Sent again under the same name, it is
    /// done once.
    pub(crate) async fn transact(&self, name: &str, actions: Vec<Action>) -> Result<bool, TableError> {
        let writes = actions.into_iter().map(|action| action.write(self.name())).collect::<Result<_, _>>();
        let writes = writes.map_err(|error| self.refused("write", error))?;
        self.requested("transact");
        let call = self.inner.client.transact_write_items().set_transact_items(Some(writes));
        let (call, mut pause) = (call.client_request_token(name), PAUSE_MIN);
        for tries in 1.. {
            let Err(error) = call.clone().send().await else { break };
            let Some(TransactWriteItemsError::TransactionCanceledException(canceled)) =
                error.as_service_error()
            else {
                return Err(self.failed("write", &error));
            };
            let codes = || canceled.cancellation_reasons().iter().filter_map(CancellationReason::code);
            // A condition that does not hold says something of the table as it is; a conflict is over in a moment.
            if codes().any(|code| code == "ConditionalCheckFailed") {
                return Ok(false);
            }
            match codes().find(|code| IN_CONFLICT.contains(code)) {
                Some(_) if tries < TRIES_IN_CONFLICT => sleep(spread(pause)).await,
                Some(code) => return Err(self.busy("write", code)),
                None => return Err(self.failed("write", &error)),
            }
            pause *= 2;
        }
        Ok(true)
    }

    /// Deletes items; those that are not there are no error.
    pub(crate) async fn delete_all(&self, keys: &[Key]) -> Result<(), TableError> {
        for chunk in keys.chunks(DELETED_MAX) {
            let requests = chunk.iter().map(|key| {
                let delete = DeleteRequest::builder().set_key(Some(key.item())).build();
                delete.map(|delete| WriteRequest::builder().delete_request(delete).build())
            });
            let mut left: Vec<WriteRequest> =
                requests.collect::<Result<_, _>>().map_err(|error| self.refused("delete", error))?;
            let mut pause = PAUSE_MIN;
            for _ in 0..TRIES {
                self.requested("batch_write");
                let answer = self.inner.client.batch_write_item().request_items(self.name(), left).send();
                let answer = answer.await.map_err(|error| self.failed("delete", &error))?;
                let undone = answer.unprocessed_items.and_then(|mut tables| tables.remove(self.name()));
                left = undone.unwrap_or_default();
                if left.is_empty() {
                    break;
                }
                sleep(spread(pause)).await;
                pause *= 2;
            }
            if !left.is_empty() {
                return Err(self.busy("delete", "it leaves items out"));
            }
        }
        Ok(())
    }

    pub(crate) fn busy(&self, doing: &'static str, said: &str) -> TableError {
        TableError::Busy { table: self.name().to_owned(), doing, said: said.to_owned() }
    }

    pub(super) fn refused(&self, doing: &'static str, error: impl ToString) -> TableError {
        TableError::Refused { table: self.name().to_owned(), doing, said: error.to_string() }
    }
}

//! Making the table.

use std::{collections::BTreeMap, time::Duration};

use aws_sdk_dynamodb::{
    client::Waiters,
    types::{
        AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableDescription,
        Tag, TimeToLiveSpecification, TimeToLiveStatus,
    },
};

use super::{Table, TableError};

/// The parts of a key.
const KEYS: [(&str, KeyType); 2] = [("pk", KeyType::Hash), ("sk", KeyType::Range)];
/// What tells when an item may go.
const EXPIRES_AT: &str = "expires_at";
/// How long making one may take.
const PATIENCE: Duration = Duration::from_secs(120);

impl Table {
    /// Makes the table, unless it is there: paid by request, encrypted as the account has it, with `tags`. Answers whether
    /// it was made. What may go does so by itself.
    ///
    /// # Errors
    /// When it cannot be made, or is one of another program.
    pub async fn create(&self, tags: &BTreeMap<String, String>) -> Result<bool, TableError> {
        let mut call = self.inner.client.create_table().table_name(self.name());
        call = call.billing_mode(BillingMode::PayPerRequest);
        for (name, key_type) in KEYS {
            let attribute = AttributeDefinition::builder().attribute_name(name);
            let attribute = attribute.attribute_type(ScalarAttributeType::S).build();
            let element = KeySchemaElement::builder().attribute_name(name).key_type(key_type).build();
            call = call
                .attribute_definitions(attribute.map_err(|error| self.refused("make the keys", error))?)
                .key_schema(element.map_err(|error| self.refused("make the keys", error))?);
        }
        for (key, value) in tags {
            let tag = Tag::builder().key(key).value(value).build();
            call = call.tags(tag.map_err(|error| self.refused("write the tags", error))?);
        }
        let created = match call.send().await {
            Ok(_) => true,
            Err(error)
                if error.as_service_error().is_some_and(|error| error.is_resource_in_use_exception()) =>
            {
                false
            }
            Err(error) => return Err(self.failed("make it", &error)),
        };
        let ready = self.inner.client.wait_until_table_exists().table_name(self.name()).wait(PATIENCE).await;
        ready.map_err(|error| self.busy("wait until it is made", &error.to_string()))?;
        self.check().await?;
        self.let_items_expire().await?;
        Ok(created)
    }

    /// Whether the table is there, and ours.
    ///
    /// # Errors
    /// When it is not.
    pub async fn check(&self) -> Result<(), TableError> {
        let answer = self.inner.client.describe_table().table_name(self.name()).send().await;
        let described = answer.map_err(|error| self.failed("read the keys", &error))?.table;
        if described.as_ref().is_some_and(is_ours) {
            return Ok(());
        }
        Err(TableError::Foreign { table: self.name().to_owned() })
    }

    async fn let_items_expire(&self) -> Result<(), TableError> {
        let call = self.inner.client.describe_time_to_live().table_name(self.name());
        let answer = call.send().await.map_err(|error| self.failed("read the time to live", &error))?;
        let status = answer.time_to_live_description.and_then(|described| described.time_to_live_status);
        if matches!(status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)) {
            return Ok(());
        }
        let wanted = TimeToLiveSpecification::builder().enabled(true).attribute_name(EXPIRES_AT).build();
        let wanted = wanted.map_err(|error| self.refused("write the time to live", error))?;
        let call = self.inner.client.update_time_to_live().table_name(self.name());
        let answer = call.time_to_live_specification(wanted).send().await;
        answer.map(drop).map_err(|error| self.failed("write the time to live", &error))
    }
}

fn is_ours(described: &TableDescription) -> bool {
    let keys = described.key_schema().iter().map(|key| (key.attribute_name(), key.key_type().clone()));
    let is_text = |name: &str| {
        let mut attributes = described.attribute_definitions().iter();
        attributes
            .any(|found| found.attribute_name() == name && *found.attribute_type() == ScalarAttributeType::S)
    };
    keys.eq(KEYS) && KEYS.iter().all(|(name, _)| is_text(name))
}

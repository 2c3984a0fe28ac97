//! The server of a test, and handles on its tables.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use aws_sdk_dynamodb::{
    Client,
    config::{Credentials, SharedCredentialsProvider},
    types::AttributeValue,
};
use millstream::{
    aws::{self, AwsOptions},
    state::dynamodb::{Table, TableOptions},
};
use tests::{Ministack, REGION};

const RETENTION: Duration = Duration::from_secs(4 * 24 * 3600);

pub(crate) struct Server {
    ministack: Ministack,
    tables: AtomicU32,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self { ministack: Ministack::start(), tables: AtomicU32::new(0) }
    }

    pub(crate) fn endpoint(&self) -> String {
        self.ministack.endpoint()
    }

    /// A handle on a table that is not there yet.
    pub(crate) async fn unmade(&self) -> Table {
        let name = format!("millstream-{}", self.tables.fetch_add(1, Ordering::Relaxed));
        table(&self.endpoint(), &name).await
    }

    /// A handle on a new table.
    pub(crate) async fn table(&self) -> Table {
        let table = self.unmade().await;
        assert!(table.create(&BTreeMap::new()).await.unwrap(), "it is new");
        table
    }

    /// Another handle on it, as another process has.
    pub(crate) async fn another(&self, known: &Table) -> Table {
        table(&self.endpoint(), known.name()).await
    }

    /// What asks the server by itself.
    pub(crate) async fn client(&self) -> Client {
        Client::new(&config(&self.endpoint()).await)
    }

    /// The keys of all items whose partition begins so, in order.
    pub(crate) async fn keys(&self, table: &Table, begin: &str) -> Vec<(String, String)> {
        let mut pages = self.client().await.scan().table_name(table.name()).into_paginator().items().send();
        let mut keys = Vec::new();
        while let Some(item) = pages.next().await {
            let item = item.unwrap();
            let text = |name: &str| item[name].as_s().unwrap().clone();
            keys.push((text("pk"), text("sk")));
        }
        keys.retain(|(pk, _)| pk.starts_with(begin));
        keys.sort();
        keys
    }

    /// Puts an attribute of an item in place of what it has.
    pub(crate) async fn tamper(
        &self,
        table: &Table,
        (pk, sk): (&str, &str),
        name: &str,
        value: AttributeValue,
    ) {
        let call = self.client().await.update_item().table_name(table.name());
        let call =
            call.key("pk", AttributeValue::S(pk.to_owned())).key("sk", AttributeValue::S(sk.to_owned()));
        let call = call.update_expression("SET #name = :value").expression_attribute_names("#name", name);
        call.expression_attribute_values(":value", value).send().await.unwrap();
    }
}

/// A handle by way of an address of its own.
pub(crate) async fn table(endpoint: &str, name: &str) -> Table {
    let options = TableOptions { name: name.to_owned(), retention: RETENTION };
    Table::new(&config(endpoint).await, options)
}

async fn config(endpoint: &str) -> aws_config::SdkConfig {
    let options = AwsOptions { region: Some(REGION.to_owned()), endpoint: Some(endpoint.to_owned()) };
    let credentials = Credentials::new("test", "test", None, None, "tests");
    let credentials = SharedCredentialsProvider::new(credentials);
    aws::config(&options).await.into_builder().credentials_provider(credentials).build()
}

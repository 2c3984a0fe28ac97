//! Tables that are made, are missing, or are somebody else's; and what they have once: lanes and epochs.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TimeToLiveStatus,
};
use millstream::{error::Class, state::dynamodb::TableError};
use tests::Gate;
use tokio::task::JoinSet;

use crate::server::{self, Server};

#[tokio::test]
async fn table_is_made_once_and_lets_items_expire() {
    let server = Server::start();
    let table = server.unmade().await;
    let error = table.check().await.unwrap_err();
    assert!(matches!(error, TableError::Missing { .. }), "{error}");
    assert_eq!(error.class(), Class::Fatal);
    let error = table.fix_lanes(4).await.unwrap_err();
    assert!(matches!(error, TableError::Missing { .. }), "{error}");
    let tags = BTreeMap::from([("team".to_owned(), "plant 4".to_owned())]);
    assert!(table.create(&tags).await.unwrap());
    assert!(!table.create(&tags).await.unwrap(), "it is there");
    let client = server.client().await;
    let described = client.describe_time_to_live().table_name(table.name()).send().await.unwrap();
    let described = described.time_to_live_description.unwrap();
    assert_eq!(described.time_to_live_status, Some(TimeToLiveStatus::Enabled));
    assert_eq!(described.attribute_name.as_deref(), Some("expires_at"));
    let described = client.describe_table().table_name(table.name()).send().await.unwrap().table.unwrap();
    let mode = described.billing_mode_summary.and_then(|summary| summary.billing_mode);
    assert_eq!(mode, Some(BillingMode::PayPerRequest));
    let arn = described.table_arn.unwrap();
    let tagged = client.list_tags_of_resource().resource_arn(arn).send().await.unwrap();
    assert_eq!(tagged.tags()[0].value(), "plant 4");
}

#[tokio::test]
async fn table_of_another_program_is_refused() {
    let server = Server::start();
    let table = server.unmade().await;
    let key = AttributeDefinition::builder().attribute_name("id").attribute_type(ScalarAttributeType::S);
    let element = KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash);
    let call = server.client().await.create_table().table_name(table.name());
    let call = call.attribute_definitions(key.build().unwrap()).key_schema(element.build().unwrap());
    call.billing_mode(BillingMode::PayPerRequest).send().await.unwrap();
    for error in [table.check().await.unwrap_err(), table.create(&BTreeMap::new()).await.unwrap_err()] {
        assert!(matches!(error, TableError::Foreign { .. }), "{error}");
    }
}

#[tokio::test]
async fn table_keeps_its_number_of_lanes() {
    let server = Server::start();
    let table = server.table().await;
    table.fix_lanes(4).await.unwrap();
    server.another(&table).await.fix_lanes(4).await.unwrap();
    let error = server.another(&table).await.fix_lanes(8).await.unwrap_err();
    assert!(matches!(error, TableError::Lanes { stored: 4, asked: 8, .. }), "{error}");
    assert!(error.to_string().contains("set lanes to 4"), "{error}");
    table.fix_lanes(4).await.unwrap();
}

#[tokio::test]
async fn table_gives_each_process_epochs_of_its_own() {
    let server = Server::start();
    let table = server.table().await;
    let mut processes = JoinSet::new();
    for _ in 0..8 {
        let process = server.another(&table).await;
        processes.spawn(async move {
            let mut epochs = Vec::new();
            for _ in 0..5 {
                epochs.push(process.next_epoch().await.unwrap());
            }
            assert!(epochs.is_sorted_by(|one, next| one < next), "{epochs:?}");
            epochs
        });
    }
    let epochs: BTreeSet<_> = processes.join_all().await.into_iter().flatten().collect();
    assert_eq!(epochs.len(), 40);
    let first = *epochs.first().unwrap();
    assert!(first > 3_024_000 && first < 1 << 24, "{first} is no minute since 2020");
}

#[tokio::test]
async fn table_that_cannot_be_reached_may_be_later() {
    let nobody = Gate::to("http://127.0.0.1:9");
    let table = server::table(&nobody.endpoint(), "millstream").await;
    let error = table.check().await.unwrap_err();
    assert!(matches!(error, TableError::Busy { .. }), "{error}");
    assert_eq!(error.class(), Class::Retry);
}

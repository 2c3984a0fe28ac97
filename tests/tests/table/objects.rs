//! Large states in a bucket.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    sync::Arc,
};

use crate::{
    server::Server,
    state::{LANE, STAGE, append, body, delta, load, snapshot},
};
use millstream::{
    error::Class,
    queue::NumberedDelta,
    state::{
        StateStore,
        dynamodb::{PART_BYTES_MAX, Table},
    },
};
use object_store::{ObjectStore, aws::AmazonS3Builder, path::Path};

const BUCKET: &str = "plant-4";
/// Where buckets are whose maker named no region.
const REGION: &str = "us-east-1";
const PREFIX: &str = "millstream/blue";

/// A new bucket.
fn bucket(server: &Server) -> Arc<dyn ObjectStore> {
    // Where one is there already it is as good.
    let _known = rustls::crypto::ring::default_provider().install_default();
    let endpoint = server.endpoint();
    let address = endpoint.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "PUT /{BUCKET} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n").unwrap();
    let mut status = String::new();
    BufReader::new(stream).read_line(&mut status).unwrap();
    assert!(status.contains(" 200 "), "{status}");
    let builder =
        AmazonS3Builder::new().with_endpoint(endpoint).with_allow_http(true).with_bucket_name(BUCKET);
    let builder = builder.with_region(REGION).with_access_key_id("test").with_secret_access_key("test");
    Arc::new(builder.build().unwrap())
}

async fn objects(store: &dyn ObjectStore) -> usize {
    let folder = Path::parse(format!("{PREFIX}/state/{STAGE}/{LANE}")).unwrap();
    store.list_with_delimiter(Some(&folder)).await.unwrap().objects.len()
}

async fn pieces(server: &Server, table: &Table) -> usize {
    server.keys(table, "state#").await.iter().filter(|(_, sk)| sk.starts_with("part#")).count()
}

#[tokio::test]
async fn table_has_large_states_in_a_bucket() {
    let server = Server::start();
    let store = bucket(&server);
    let plain = server.table().await;
    let table = plain.clone().with_objects(Arc::clone(&store), PREFIX);
    let large = |byte| vec![byte; 3 * PART_BYTES_MAX];
    append(&table, vec![NumberedDelta { bytes: large(1), ..delta(1) }]).await;
    append(&table, vec![delta(2)]).await;
    assert_eq!(
        (objects(&*store).await, pieces(&server, &table).await),
        (1, 0),
        "what is small stays in the table"
    );
    assert_eq!(load(&table, None).await.deltas, [(1, large(1)), (2, body(2))]);
    let error = StateStore::DynamoDb(plain.clone()).load(STAGE, LANE, None).await.unwrap_err();
    assert_eq!(error.class(), Class::Fatal);
    assert!(error.to_string().contains("name the bucket"), "{error}");
    for number in 3..6 {
        append(&table, vec![snapshot(number, large(number as u8))]).await;
        let loaded = load(&table, None).await;
        assert_eq!((loaded.snapshot, loaded.deltas.len()), (Some((number, large(number as u8))), 0));
        assert_eq!(objects(&*store).await, 1, "those before are gone");
    }
    append(&table, vec![snapshot(6, body(6))]).await;
    assert_eq!(objects(&*store).await, 0);
    append(&plain, vec![snapshot(7, large(7))]).await;
    assert_eq!(load(&table, None).await.snapshot, Some((7, large(7))), "it may change where they go");
}

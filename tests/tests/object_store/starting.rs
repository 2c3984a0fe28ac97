//! What is said where there can be no lake.

use std::process::Command;

use tests::{Child, Ended, Ministack, S3, Site, program};

use crate::place::{Place, allowed};

fn start(site: &Site, store: &str) -> Command {
    site.configure(&format!("store: {store}\n"));
    let mut command = program("millstream");
    command
        .args(["run", "store", "--config"])
        .arg(site.path("millstream.yaml"))
        .arg("--data")
        .arg(site.data());
    command
}

#[track_caller]
fn assert_says(ended: Ended, expected: &[&str]) {
    assert_ne!(ended.code, Some(0));
    let said = ended.err.join("\n");
    for text in expected {
        assert!(said.contains(text), "no {text:?} in\n{said}");
    }
}

#[test]
fn object_store_without_such_a_bucket_is_told_by_its_key() {
    let place = Place::new();
    let endpoint = place.s3.endpoint();
    let store = format!("{{ lake: 's3://elsewhere/lake', lake_endpoint: '{endpoint}' }}");
    let ended = Child::start(allowed(start(&place.site, &store))).ended();
    assert_says(ended, &["s3://elsewhere/lake", "store.lake", "there is no such bucket"]);
}

#[test]
fn object_store_without_rights_is_told_by_its_key() {
    let place = Place::new();
    let (lake, endpoint) = (S3::lake("lake"), place.s3.endpoint());
    let mut command = start(&place.site, &format!("{{ lake: '{lake}', lake_endpoint: '{endpoint}' }}"));
    command.env("AWS_ACCESS_KEY_ID", "somebody").env("AWS_SECRET_ACCESS_KEY", "else");
    assert_says(Child::start(command).ended(), &[&lake, "store.lake", "credentials in the environment"]);
}

#[test]
fn object_store_that_no_topology_can_mean_is_told_with_its_line() {
    let site = Site::new("");
    for (store, expected) in [
        ("{ lake: 'ftp://bucket/lake' }", "expected a directory, s3://BUCKET/PREFIX"),
        ("{ lake: 's3://' }", "names no bucket"),
        ("{ lake_endpoint: 'http://localhost:9000' }", "is for lakes in an object store"),
        ("{ lake: 's3://bucket', lake_endpoint: 'localhost:9000' }", "is no URL"),
    ] {
        assert_says(Child::start(start(&site, store)).ended(), &["millstream.yaml:1:", expected]);
    }
}

/// Its buckets are in a region, as Amazon's are.
#[test]
fn object_store_in_another_region_is_told_by_its_key() {
    let ministack = Ministack::start();
    let site = Site::new("");
    let endpoint = ministack.endpoint();
    create_bucket(&format!("{endpoint}/telemetry"));
    let (lake, mut regions) = (S3::lake("lake"), ["eu-west-3", "us-east-1"].into_iter());
    let mut with_region = || {
        let mut command = start(&site, &format!("{{ lake: '{lake}', lake_endpoint: '{endpoint}' }}"));
        command.envs(Ministack::environment()).env("AWS_REGION", regions.next().unwrap());
        Child::start(command)
    };
    assert_says(with_region().ended(), &[&lake, "store.lake", "set AWS_REGION"]);
    // Where it is right, that one takes a lake, too.
    let store = with_region();
    store.says("store writes");
    store.says("running");
}

fn create_bucket(url: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // It may be chosen already.
    let _chosen = rustls::crypto::ring::default_provider().install_default();
    let made = runtime.block_on(async { reqwest::Client::new().put(url).send().await.unwrap().status() });
    assert!(made.is_success(), "{made}");
}

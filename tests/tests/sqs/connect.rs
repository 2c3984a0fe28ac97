//! `millstream check --connect`: what is wrong with the servers is told by its key.

use std::{
    net::{Ipv4Addr, TcpListener},
    process::Command,
};

use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::Value;
use tests::{Child, Ministack, Site, program};

use crate::canned::Canned;

/// Where buckets are whose maker named no region.
const REGION: &str = "us-east-1";

fn topology(endpoint: &str, more: &str) -> String {
    format!(
        "data: data\nqueues:\n  engine: sqs\n  sqs:\n    prefix: plant-7-\n    endpoint: '{endpoint}'\nstate:\n  dynamodb:\n    table: plant-7\n{more}"
    )
}

fn lake_at(endpoint: &str) -> String {
    format!("store:\n  lake: s3://telemetry/lake\n  lake_endpoint: '{endpoint}'\n")
}

fn check(site: &Site) -> Command {
    let mut command = program("millstream");
    command.args(["check", "--connect", "--json", "-c"]).arg(site.path("millstream.yaml"));
    command.envs(Ministack::environment()).env("AWS_REGION", REGION);
    command
}

/// What is wrong, as pointers with lines and texts.
#[track_caller]
fn mistakes(command: Command) -> Vec<(String, u64, String)> {
    let told = Child::start(command).ended().with(2).json();
    assert_eq!(told["ok"], false);
    let text = |mistake: &Value, key: &str| mistake[key].as_str().unwrap().to_owned();
    let mistakes = told["mistakes"].as_array().unwrap().iter();
    let mistakes = mistakes.map(|mistake| {
        (text(mistake, "pointer"), mistake["line"].as_u64().unwrap(), text(mistake, "message"))
    });
    mistakes.collect()
}

/// That just these are wrong, each with these words.
#[track_caller]
fn assert_told(command: Command, expected: &[(&str, u64, &[&str])]) {
    let mistakes = mistakes(command);
    let places: Vec<_> = mistakes.iter().map(|(pointer, line, _)| (pointer.as_str(), *line)).collect();
    let wanted: Vec<_> = expected.iter().map(|(pointer, line, _)| (*pointer, *line)).collect();
    assert_eq!(places, wanted, "{mistakes:#?}");
    for ((_, _, text), (_, _, words)) in mistakes.iter().zip(expected) {
        for word in *words {
            assert!(text.contains(word), "no {word:?} in {text}");
        }
    }
}

fn create_queues(site: &Site, region: &str) {
    let mut command = program("millstream");
    command.args(["queues", "create", "-c"]).arg(site.path("millstream.yaml"));
    command.envs(Ministack::environment()).env("AWS_REGION", region);
    Child::start(command).ended().well();
}

async fn create_bucket(services: &Ministack) {
    // It may be chosen already.
    let _chosen = rustls::crypto::ring::default_provider().install_default();
    let url = format!("{}/telemetry", services.endpoint());
    assert!(reqwest::Client::new().put(url).send().await.unwrap().status().is_success());
}

#[tokio::test]
async fn connect_tells_of_what_is_not_there_and_changes_nothing() {
    let services = Ministack::start();
    let endpoint = services.endpoint();
    let site = Site::new(&topology(&endpoint, &lake_at(&endpoint)));
    let missing: [(&str, u64, &[&str]); 3] = [
        (
            "/queues/sqs/prefix",
            5,
            &["plant-7-alert-dead.fifo, plant-7-alert.fifo", "plant-7-validate", REGION, "queues create"],
        ),
        ("/state/dynamodb/table", 9, &["no table plant-7", REGION, "queues create"]),
        ("/store/lake", 11, &["s3://telemetry/lake", "no such bucket"]),
    ];
    assert_told(check(&site), &missing);
    assert_told(check(&site), &missing);
    assert!(!site.path("data").exists(), "nothing is made");

    create_queues(&site, REGION);
    create_bucket(&services).await;
    let told = Child::start(check(&site)).ended().well().json();
    assert_eq!((&told["ok"], &told["mistakes"]), (&true.into(), &Value::Array(Vec::new())), "{told}");
    let there: Vec<_> = told["there"].as_array().unwrap().iter().map(|what| what.as_str().unwrap()).collect();
    let wanted =
        ["10 of 10 queues at ", "the table plant-7 at ", "MQTT sessions in ", "the lake s3://telemetry/lake"];
    for (there, wanted) in there.iter().zip(wanted) {
        assert!(there.starts_with(wanted), "{told}");
    }
    assert_eq!(there.len(), wanted.len());

    let mut elsewhere = check(&site);
    elsewhere.env("AWS_REGION", "eu-west-3");
    let told = mistakes(elsewhere);
    let of_lake = told.iter().find(|(pointer, ..)| pointer == "/store/lake").unwrap();
    assert!(of_lake.2.contains("set AWS_REGION"), "{told:?}");

    let other = topology(&endpoint, &lake_at(&endpoint)) + "lanes: 7\n";
    let mut run = site.millstream("run");
    run.arg("validate").envs(Ministack::environment()).env("AWS_REGION", REGION);
    let run = Child::start(run);
    run.says("running");
    run.terminate();
    run.ended().well();
    site.configure(&other);
    assert_told(check(&site), &[("/lanes", 13, &["has 4 lanes"])]);
}

#[tokio::test]
async fn connect_tells_queues_of_the_wrong_kind() {
    let services = Ministack::start();
    let plain = topology(&services.endpoint(), "").replace("    prefix", "    fifo: false\n    prefix");
    let site = Site::new(&plain);
    create_queues(&site, REGION);
    site.configure(&plain.replace("fifo: false", "fifo: true"));
    let told = mistakes(check(&site));
    assert_eq!(told.len(), 6, "{told:#?}");
    for (name, (pointer, line, text)) in ["alert", "alert-dead", "analyze", "analyze-dead"].iter().zip(told) {
        assert_eq!((pointer.as_str(), line), ("/queues/sqs/fifo", 5));
        let wanted =
            format!("a standard queue plant-7-{name} where plant-7-{name}.fifo should be a FIFO one");
        assert!(text.contains(&wanted), "{text}");
    }
}

#[tokio::test]
async fn connect_warns_of_queues_without_a_redrive_policy() {
    let services = Ministack::start();
    let site = Site::new(&topology(&services.endpoint(), ""));
    create_queues(&site, tests::REGION);
    let client = services.sqs().await;
    let url = client.get_queue_url().queue_name("plant-7-store").send().await.unwrap();
    let call = client.delete_queue().queue_url(url.queue_url().unwrap());
    call.send().await.unwrap();
    let call = client.create_queue().queue_name("plant-7-store");
    call.attributes(QueueAttributeName::VisibilityTimeout, "30").send().await.unwrap();
    let mut command = check(&site);
    command.env("AWS_REGION", tests::REGION);
    let told = Child::start(command).ended().well().json();
    assert_eq!(told["warnings"][0]["pointer"], "/queues/engine", "{told}");
    let text = told["warnings"][0]["message"].as_str().unwrap();
    assert!(text.contains("plant-7-store has no redrive policy"), "{text}");
}

/// Nothing listens; and somebody does, and never says a word.
#[test]
fn connect_does_not_wait_for_who_does_not_answer() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = silent.local_addr().unwrap();
    let endpoint = format!("http://{address}");
    let site = Site::new(&topology(&endpoint, &lake_at(&endpoint)));
    let told = mistakes(check(&site));
    let pointers: Vec<_> = told.iter().map(|(pointer, ..)| pointer.as_str()).collect();
    assert_eq!(pointers, ["/queues/sqs/endpoint", "/state/dynamodb/endpoint", "/store/lake"], "{told:#?}");
    assert!(told[0].2.contains("no route") && told[2].2.contains("no answer within"), "{told:#?}");
    drop(silent);
    let told = mistakes(check(&site));
    let pointers: Vec<_> = told.iter().map(|(pointer, ..)| pointer.as_str()).collect();
    assert_eq!(pointers, ["/queues/sqs/endpoint", "/state/dynamodb/endpoint", "/store/lake_endpoint"]);
    for (_, _, text) in &told {
        assert!(text.contains("onnect"), "{text}");
    }
}

#[test]
fn connect_tells_missing_rights_from_credentials_and_regions() {
    let of_aws = |code: &str, text: &str| {
        format!(r#"{{"__type":"com.amazon.coral.service#{code}","message":"{text}"}}"#)
    };
    let denied = Canned::answering(
        400,
        &of_aws("AccessDeniedException", "User: me is not authorized to perform: sqs:getqueueurl"),
    );
    let site = Site::new(&topology(&denied.endpoint(), ""));
    assert_told(
        check(&site),
        &[
            (
                "/queues/engine",
                3,
                &["SQS refuses GetQueueUrl on plant-7-alert", "me is not authorized", "docs/engines.md"],
            ),
            ("/state/dynamodb/table", 9, &["me is not authorized", "right"]),
        ],
    );
    for (code, text) in [
        ("InvalidClientTokenId", "The security token included in the request is invalid."),
        ("UnrecognizedClientException", "The security token included in the request is invalid."),
    ] {
        let unknown = Canned::answering(403, &of_aws(code, text));
        site.configure(&topology(&unknown.endpoint(), ""));
        let wanted: &[&str] = &["does not take these credentials", code, "AWS_ACCESS_KEY_ID"];
        assert_told(check(&site), &[("/queues/engine", 3, wanted), ("/queues/engine", 3, wanted)]);
    }
    let text = "Credential should be scoped to a valid region, not 'us-east-1'.";
    let elsewhere = Canned::answering(400, &of_aws("InvalidSignatureException", text));
    site.configure(&topology(&elsewhere.endpoint(), ""));
    let told = mistakes(check(&site));
    let pointers: Vec<_> = told.iter().map(|(pointer, ..)| pointer.as_str()).collect();
    assert_eq!(pointers, ["/queues/sqs/region", "/state/dynamodb/region"], "{told:#?}");
    assert!(told.iter().all(|(_, _, text)| text.contains("correct the region")), "{told:#?}");
}

#[test]
fn connect_tells_a_bucket_in_another_region() {
    let text = "<?xml version=\"1.0\"?><Error><Code>AuthorizationHeaderMalformed</Code><Message>The authorization header is \
                malformed; the region 'us-east-1' is wrong; expecting 'eu-west-3'</Message><Region>eu-west-3</Region></Error>";
    let elsewhere = Canned::answering(400, text);
    let site = Site::new(&format!("data: data\n{}", lake_at(&elsewhere.endpoint())));
    assert_told(
        check(&site),
        &[("/store/lake", 3, &["another region", "expecting 'eu-west-3'", "AWS_REGION"])],
    );
}

#[test]
fn connect_tells_missing_credentials() {
    let services = Ministack::start();
    let site = Site::new(&topology(&services.endpoint(), ""));
    let mut command = check(&site);
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"] {
        command.env_remove(name);
    }
    command.env("HOME", site.path("")).env("AWS_EC2_METADATA_DISABLED", "true");
    assert_told(command, &[("/queues/engine", 3, &["no credentials for AWS", "AWS_ACCESS_KEY_ID"])]);
}

#[test]
fn connect_tells_what_this_machine_and_its_broker_lack() {
    let site = Site::new("data: file/data\nstore:\n  lake: file/lake\n");
    std::fs::write(site.path("file"), "").unwrap();
    assert_told(
        check(&site),
        &[("/data", 1, &["is no directory; name another"]), ("/store/lake", 3, &["is no directory"])],
    );
    let broker = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = broker.local_addr().unwrap();
    site.configure(&format!("data: data\ningest:\n  subscriber:\n    broker: mqtt://{address}\n"));
    let told = Child::start(check(&site)).ended().well().json();
    assert_eq!(told["there"].as_array().unwrap().len(), 3, "{told}");
    assert!(!site.path("data").exists(), "nothing is made");
    drop(broker);
    assert_told(
        check(&site),
        &[("/ingest/subscriber/broker", 4, &["cannot be reached", "start the broker"])],
    );
}

//! AWS has too much to do, credentials run out, requests and answers are lost: for a while nothing works.

use std::{net::TcpListener, time::Duration};

use aws_sdk_sqs::config::{Credentials, SharedCredentialsProvider};
use millstream::{
    aws::{self, AwsOptions},
    error::Class,
    queue::{SqsOptions, SqsQueues},
    state::dynamodb::{Table, TableOptions},
};
use tests::{Child, Fate, Gate, Ministack, REGION, Site, lake, until};

use crate::QUICK;

/// What AWS says of what passes, and what a network does.
const STORM: [Fate; 7] = [
    Fate::Refused { status: 400, code: "ThrottlingException" },
    Fate::Refused { status: 400, code: "RequestThrottled" },
    Fate::Refused { status: 400, code: "ExpiredToken" },
    Fate::Refused { status: 500, code: "InternalFailure" },
    Fate::Refused { status: 503, code: "ServiceUnavailable" },
    Fate::Cut,
    Fate::AnswerLost,
];
/// So many that whoever asks has met each kind.
const STRUCK: u64 = 60;
/// Nothing goes by time.
const QUIET: &str = "analyze: { tick_secs: 3600 }\n";

/// What is said of trouble by whoever takes from a queue, and when it is over by those who also send.
const TROUBLE: &str = "the queues cannot be used now; it is tried again";
const OVER: &str = "the queues can be used again";
const STAGES: [&str; 4] = ["validate", "transform", "analyze", "alert"];
const INGEST: &str = "cannot publish; acknowledgements wait until it works again";

/// How many lines have all of these.
fn lines(process: &Child, words: &[&str]) -> usize {
    process.said().iter().filter(|line| words.iter().all(|word| line.contains(word))).count()
}

/// How often a stage has said one thing.
fn by(process: &Child, stage: &str, text: &str) -> usize {
    lines(process, &[text, &format!("stage=\"{stage}\"")])
}

fn send(site: &Site, seed: &str, messages: &str) -> Child {
    site.fleet(["--devices", "50", "--rate", "400", "--messages", messages, "--seed", seed])
}

fn acknowledged(fleet: Child) -> u64 {
    fleet.ended().well().json()["acknowledged"].as_u64().unwrap()
}

/// One storm while nothing is under way, so that what is said can be counted; and one in the middle of commits.
#[test]
fn sqs_trouble_on_the_way_is_waited_out() {
    let services = Ministack::start();
    let site = Site::on_aws(&services, QUICK);
    let gate = Gate::to(&services.endpoint());
    let sqs = format!("{{ endpoint: '{}' }}", gate.endpoint());
    site.configure(&format!(
        "queues: {{ engine: sqs, lease_secs: 5, sqs: {sqs} }}\ningest: {{ linger_ms: 20 }}\n{QUIET}{QUICK}"
    ));
    let mut up = site.up();
    let mut sent = acknowledged(send(&site, "1", "400"));
    site.wait_until_dry();
    gate.storm(&STORM);
    let fleet = send(&site, "2", "400");
    until("all have met the storm", || {
        let stages = STAGES.iter().all(|stage| by(&up, stage, TROUBLE) > 0);
        stages && by(&up, "store", TROUBLE) > 0 && lines(&up, &[INGEST]) > 0
    });
    until("it lasts", || gate.struck() >= STRUCK);
    assert!(up.is_running(), "{:?}", up.said());
    gate.calm();
    sent += acknowledged(fleet);
    site.wait_until_dry();
    for stage in STAGES {
        until("it is over", || by(&up, stage, OVER) > 0);
        assert_eq!((by(&up, stage, TROUBLE), by(&up, stage, OVER)), (1, 1), "{stage}: {:?}", up.said());
    }
    assert_eq!((by(&up, "store", TROUBLE), lines(&up, &[INGEST])), (1, 1), "{:?}", up.said());

    let files = lake::files(&site.lake()).len();
    let fleet = send(&site, "3", "4000");
    until("rows are under way", || lake::files(&site.lake()).len() > files);
    gate.storm(&STORM);
    until("it lasts", || gate.struck() >= STRUCK);
    gate.calm();
    sent += acknowledged(fleet);
    site.wait_until_dry();
    up.terminate();
    up.ended().well();
    let verified = site.verify();
    assert_eq!(verified["acknowledged"], sent, "{verified}");
    assert_eq!((&verified["missing"], &verified["duplicated"]), (&0.into(), &0.into()), "{verified}");
}

/// Whichever it is, and whoever is asked, it is something that passes.
#[tokio::test]
async fn sqs_trouble_on_the_way_passes() {
    // Nothing comes to it.
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let gate = Gate::to(&format!("http://{}", server.local_addr().unwrap()));
    gate.storm(&STORM[..6]);
    let options = AwsOptions { region: Some(REGION.to_owned()), endpoint: Some(gate.endpoint()) };
    let credentials = SharedCredentialsProvider::new(Credentials::for_tests());
    let config = aws::config_to_look(&options).await.into_builder().credentials_provider(credentials).build();
    let table = TableOptions { name: "t".to_owned(), retention: Duration::from_secs(1) };
    let table = Table::new(&config, table);
    // The first queue that is missing ends it, so others may be asked or not.
    for _ in 0..6 {
        let queues =
            SqsQueues::open(aws_sdk_sqs::Client::new(&config), SqsOptions::default()).await.map(drop);
        let error = queues.unwrap_err();
        assert_eq!(error.class(), Class::Retry, "{error}");
        let error = table.check().await.unwrap_err();
        assert_eq!(error.class(), Class::Retry, "{error}");
    }
    assert!(gate.struck() >= 12, "{}", gate.struck());
}

//! Asks AWS: credentials, the queues, the table.

use aws_config::SdkConfig;
use aws_sdk_sqs::config::ProvideCredentials;
use tokio::time::Instant;

use super::connect::{Told, in_time};
use crate::{
    aws::{self, says_unknown},
    config::Config,
    error::{says_region, with_causes},
    queue::sqs::{self, Looked, Seen, SqsError},
    state::dynamodb::{Table, TableError},
};

const ENGINE: &str = "/queues/engine";
const TABLE: &str = "/state/dynamodb/table";

/// What the services say of a topology's queues and table; without credentials they are not asked.
pub(super) async fn look(config: &Config, deadline: Instant) -> Told {
    let queues = aws::config_to_look(&config.aws_options()).await;
    let at = Place::of(&queues, "sqs", "/queues/sqs");
    let credentials = in_time(deadline, ENGINE, credentials(&queues)).await;
    if !credentials.mistakes.is_empty() {
        return credentials;
    }
    let asked = async {
        let client = aws_sdk_sqs::Client::new(&queues);
        told_of_queues(&sqs::look(client, &config.sqs_options()).await, &at)
    };
    let (queues, table) =
        tokio::join!(in_time(deadline, at.pointer(), asked), in_time(deadline, TABLE, table(config)));
    queues.and(table).and(at.mismatch())
}

async fn credentials(config: &SdkConfig) -> Told {
    let Some(provider) = config.credentials_provider() else { return Told::default() };
    match provider.provide_credentials().await {
        Ok(_) => Told::default(),
        Err(error) => Told::mistaken(
            ENGINE,
            format!(
                "there are no credentials for AWS: {}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE, or \
                 give this machine or container a role",
                with_causes(&error)
            ),
        ),
    }
}

async fn table(config: &Config) -> Told {
    let sdk = aws::config_to_look(&config.table_aws_options()).await;
    let at = Place::of(&sdk, "dynamodb", "/state/dynamodb");
    let table = Table::new(&sdk, config.table_options());
    let told = match table.look(config.topology().lanes).await {
        Ok(()) => Told::there(format!("the table {} at {}", table.name(), at.name)),
        Err(error) => told_of_table(&error, &at),
    };
    told.and(at.mismatch())
}

/// Where a service is asked.
struct Place {
    /// For people.
    name: String,
    region: Option<String>,
    endpoint: Option<String>,
    /// What is above `region` and `endpoint` in the topology.
    above: &'static str,
}

impl Place {
    fn of(config: &SdkConfig, service: &str, above: &'static str) -> Self {
        let region = config.region().map(ToString::to_string);
        let endpoint = config.endpoint_url().map(str::to_owned);
        let name = match (&endpoint, &region) {
            (Some(endpoint), _) => endpoint.clone(),
            (None, Some(region)) => format!("{service} in {region}"),
            (None, None) => format!("{service} in no region"),
        };
        Self { name, region, endpoint, above }
    }

    /// The part of the topology that says where it is.
    fn pointer(&self) -> &'static str {
        match (self.above, &self.endpoint) {
            ("/queues/sqs", Some(_)) => "/queues/sqs/endpoint",
            ("/queues/sqs", None) => "/queues/sqs/region",
            (_, Some(_)) => "/state/dynamodb/endpoint",
            (_, None) => "/state/dynamodb/region",
        }
    }

    fn region_pointer(&self) -> String {
        format!("{}/region", self.above)
    }

    fn region(&self) -> &str {
        self.region.as_deref().unwrap_or("none")
    }

    /// An endpoint of AWS that is in another region than requests are signed for.
    fn mismatch(&self) -> Told {
        let (Some(endpoint), Some(region)) = (&self.endpoint, &self.region) else { return Told::default() };
        match region_in(endpoint) {
            Some(of) if of != *region => Told::mistaken(
                &self.region_pointer(),
                format!("the region is {region}, and {endpoint} is in {of}; give both the same"),
            ),
            _ => Told::default(),
        }
    }

    /// What a service says that was asked in the wrong region, if it says that.
    fn told_of_region(&self, said: &str) -> Option<Told> {
        let text = format!(
            "{} is not in the region {}: {said}; correct the region, which is that of AWS_REGION where none is named",
            self.name,
            self.region()
        );
        says_region(said).then(|| Told::mistaken(&self.region_pointer(), text))
    }

    fn unreached(&self, said: &str) -> Told {
        let text = format!(
            "{} does not answer: {said}; correct the endpoint or the region, or see what is in the way: a name that nobody \
             knows, a firewall, no route",
            self.name
        );
        Told::mistaken(self.pointer(), text)
    }
}

/// The region in a URL of AWS.
fn region_in(url: &str) -> Option<&str> {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = host.split(['/', ':']).next()?;
    let is_region = |label: &&str| {
        let mut parts = label.rsplit('-');
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let is_word = |part: &str| part.len() > 1 && part.bytes().all(|byte| byte.is_ascii_lowercase());
        parts.next().is_some_and(is_number) && label.matches('-').count() > 1 && parts.all(is_word)
    };
    host.contains(".amazonaws.").then(|| host.split('.').find(is_region)).flatten()
}

fn unknown(service: &str, said: &str) -> Told {
    let text = format!(
        "{service} does not take these credentials: {said}; correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the \
         profile or role that stands for them"
    );
    Told::mistaken(ENGINE, text)
}

fn told_of_table(error: &TableError, at: &Place) -> Told {
    match error {
        TableError::Missing { table } => Told::mistaken(
            TABLE,
            format!(
                "there is no table {table} in the region {}: make it with `millstream queues create`, or correct its name or \
                 the region",
                at.region()
            ),
        ),
        TableError::Denied { said, .. } => at.told_of_region(said).unwrap_or_else(|| {
            if says_unknown(said) {
                unknown("DynamoDB", said)
            } else {
                Told::mistaken(TABLE, error.to_string())
            }
        }),
        TableError::Unset { said, .. } => Told::mistaken(
            "/state/dynamodb/region",
            format!("DynamoDB cannot be asked: {said}; name a region here or with AWS_REGION"),
        ),
        TableError::Lanes { .. } => Told::mistaken("/lanes", error.to_string()),
        TableError::Busy { said, .. } => at.unreached(said),
        TableError::Refused { said, .. } => {
            at.told_of_region(said).unwrap_or_else(|| Told::mistaken(TABLE, error.to_string()))
        }
        _ => Told::mistaken(TABLE, error.to_string()),
    }
}

/// What was seen of the queues; what is the same for several is told once.
fn told_of_queues(looked: &[Looked], at: &Place) -> Told {
    let named = |wanted: fn(&Seen) -> bool| {
        let names = looked.iter().filter(|looked| wanted(&looked.seen)).map(|looked| looked.name.as_str());
        names.collect::<Vec<_>>()
    };
    let mut told = Told::default();
    let there = named(|seen| matches!(seen, Seen::Well | Seen::NoRedrive));
    if !there.is_empty() {
        let (count, most) = (there.len(), looked.len());
        told = Told::there(format!("{count} of {most} queues at {}", at.name));
    }
    let missing = named(|seen| *seen == Seen::Missing);
    if !missing.is_empty() {
        let text = format!(
            "there is no queue {} in the region {}: make the queues with `millstream queues create`, or correct the prefix \
             or the region",
            missing.join(", "),
            at.region()
        );
        told.mistake("/queues/sqs/prefix", text);
    }
    let redrive = named(|seen| *seen == Seen::NoRedrive);
    if !redrive.is_empty() {
        let text = format!(
            "{} has no redrive policy: a frame whose holders end each time is handed out until it is too old; \
             `millstream queues create` tells what the policy would be",
            redrive.join(", ")
        );
        told.warning(ENGINE, text);
    }
    for Looked { name, seen } in looked {
        match seen {
            Seen::OtherKind(found) => told.mistake("/queues/sqs/fifo", of_other_kind(name, found)),
            Seen::Small(bytes) => {
                let error = SqsError::Small { queue: name.clone(), bytes: *bytes };
                told.mistake("/queues/sqs/prefix", error.to_string());
            }
            Seen::Well | Seen::NoRedrive | Seen::Missing | Seen::Unknown(_) => {}
        }
    }
    failures(looked).iter().fold(told, |told, (queues, error)| told.and(told_of_failure(error, queues, at)))
}

fn of_other_kind(name: &str, found: &str) -> String {
    let (wanted, is) = if name.ends_with(".fifo") { ("FIFO", "standard") } else { ("standard", "FIFO") };
    format!(
        "there is a {is} queue {found} where {name} should be a {wanted} one: make the queues with `millstream queues \
         create`, or let fifo say what there is"
    )
}

/// What kept SQS from telling, each with the queues that it is about.
fn failures(looked: &[Looked]) -> Vec<(Vec<&str>, &SqsError)> {
    let mut failures: Vec<(Vec<&str>, &SqsError)> = Vec::new();
    for Looked { name, seen } in looked {
        let Seen::Unknown(error) = seen else { continue };
        match failures.iter_mut().find(|(_, known)| is_same(known, error)) {
            Some((queues, _)) => queues.push(name),
            None => failures.push((vec![name], error)),
        }
    }
    failures
}

/// Whether two failures have the same cause, whatever the service says of each queue.
fn is_same(one: &SqsError, other: &SqsError) -> bool {
    use SqsError::{Refused, Unavailable, Unset};
    match (one, other) {
        (Refused { action: one, reason: why, .. }, Refused { action: other, reason, .. }) => {
            one == other && says_unknown(why) == says_unknown(reason)
        }
        (Unavailable { .. }, Unavailable { .. }) | (Unset { .. }, Unset { .. }) => true,
        _ => one == other,
    }
}

fn told_of_failure(error: &SqsError, queues: &[&str], at: &Place) -> Told {
    match error {
        SqsError::Refused { reason, .. } | SqsError::Invalid { reason, .. } if says_region(reason) => {
            at.told_of_region(reason).unwrap_or_default()
        }
        SqsError::Refused { reason, .. } if says_unknown(reason) => unknown("SQS", reason),
        SqsError::Refused { action, reason, .. } => Told::mistaken(
            ENGINE,
            format!(
                "SQS refuses {action} on {}: {reason}; docs/engines.md lists the rights that each part needs",
                queues.join(", ")
            ),
        ),
        SqsError::Unavailable { reason, .. } => at.unreached(reason),
        SqsError::Unset { reason, .. } => Told::mistaken(
            "/queues/sqs/region",
            format!("SQS cannot be asked: {reason}; name a region here or with AWS_REGION"),
        ),
        _ => Told::mistaken("/queues/sqs/prefix", error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_aws_tell_their_region() {
        for (url, region) in [
            ("https://sqs.eu-central-1.amazonaws.com", Some("eu-central-1")),
            ("https://sqs.us-gov-west-1.amazonaws.com/", Some("us-gov-west-1")),
            ("https://vpce-0a1-2b.sqs.eu-west-3.vpce.amazonaws.com:443", Some("eu-west-3")),
            ("https://sqs.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
            ("https://queue.amazonaws.com", None),
            ("http://127.0.0.1:4566", None),
            ("http://eu-central-1.example.com", None),
        ] {
            assert_eq!(region_in(url), region, "{url}");
        }
    }

    fn place() -> Place {
        let (name, region) = ("sqs in eu-west-3".to_owned(), Some("eu-west-3".to_owned()));
        Place { name, region, endpoint: None, above: "/queues/sqs" }
    }

    #[test]
    fn what_is_wrong_with_several_queues_is_told_once() {
        let refused = |queue: &str| SqsError::Refused {
            action: "GetQueueUrl",
            queue: queue.to_owned(),
            reason: format!("not authorized on {queue} (AccessDenied)"),
        };
        let looked = |name: &str, seen| Looked { name: name.to_owned(), seen };
        let told = told_of_queues(
            &[
                looked("a", Seen::Missing),
                looked("b", Seen::Missing),
                looked("c", Seen::Unknown(refused("c"))),
                looked("d", Seen::Unknown(refused("d"))),
                looked("e.fifo", Seen::OtherKind("e".to_owned())),
                looked("f", Seen::NoRedrive),
            ],
            &place(),
        );
        let pointers: Vec<_> = told.mistakes.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert_eq!(pointers, ["/queues/sqs/prefix", "/queues/sqs/fifo", "/queues/engine"]);
        assert!(told.mistakes[0].1.contains("queue a, b in the region eu-west-3"), "{told:?}");
        assert!(told.mistakes[1].1.contains("standard queue e where e.fifo"), "{told:?}");
        assert!(told.mistakes[2].1.contains("GetQueueUrl on c, d"), "{told:?}");
        assert_eq!((told.warnings.len(), told.there.len()), (1, 1));
    }
}

//! What stands around Millstream in a round: a broker, the services of AWS, an object store.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    plan::{Mode, Plan},
    reader::log,
};
use crate::{Ministack, Mosquitto, S3, Site, until};

/// A merge that was interrupted is finished by others after less than this.
const MERGE_ABANDONED: Duration = Duration::from_secs(1200);

/// Servers of a round, each if there is one.
pub(super) struct World {
    pub(super) broker: Option<Mosquitto>,
    services: Option<Ministack>,
    s3: Option<S3>,
}

/// What programs of a round need in their environment. What stands in for AWS takes the credentials of the object store, too.
pub(super) fn environment(plan: &Plan) -> Vec<(&'static str, &'static str)> {
    match (plan.objects, plan.mode.is_on_aws()) {
        (true, _) => S3::environment().into(),
        (false, true) => Ministack::environment().into(),
        (false, false) => Vec::new(),
    }
}

impl World {
    /// Starts those that the plan has.
    ///
    /// # Panics
    /// When one does not come up.
    pub(super) fn start(plan: &Plan) -> Self {
        let mut broker = (plan.mode == Mode::BehindBroker).then(Mosquitto::new);
        if let Some(broker) = &mut broker {
            broker.start();
        }
        let services = plan.mode.is_on_aws().then(Ministack::start);
        Self { broker, services, s3: plan.objects.then(S3::start) }
    }

    /// The lake, as a directory.
    pub(super) fn lake(&self, site: &Site) -> PathBuf {
        self.s3.as_ref().map_or_else(|| site.lake(), |s3| s3.bucket().join("lake"))
    }

    /// Rolls all the time, of several files each; leases that a nap outlasts.
    pub(super) fn topology(&self, plan: &Plan, site: &Site) -> String {
        let (webhook, partition, groups) = (site.webhook(0), plan.partition, plan.groups.join(", "));
        let (ingest, engine, place) = (self.ingest(plan), self.engine(plan), self.place());
        let lease_secs = plan.lease.as_secs();
        // There, the books are held against windows, too.
        let windows = if plan.mode.is_on_aws() { ", window_secs: 5, allowed_lateness_secs: 5" } else { "" };
        format!(
            "{ingest}queues: {{ {engine}lease_secs: {lease_secs} }}\n\
             groups: [{groups}]\n\
             analyze: {{ dedupe_secs: 1576800000{windows} }}\n\
             alert: {{ rules: [{{ name: too-hot, metric: temperature, above: 20, severity: critical }}] }}\n\
             notify: {{ webhooks: [{{ name: ops, url: 'http://{webhook}/hook' }}] }}\n\
             store: {{ {place}partition: {partition}, rows_max: 1000, age_secs: 1, age_secs_max: 1 }}\n\
             compact: {{ every_secs: 1, files_min: 3 }}\n"
        )
    }

    fn ingest(&self, plan: &Plan) -> String {
        self.broker.as_ref().map_or_else(String::new, |broker| {
            let (url, version) = (broker.url("mqtt"), plan.mqtt);
            format!(
                "ingest: {{ subscriber: {{ broker: '{url}', version: {version}, reconnect_secs_max: 1 }} }}\n"
            )
        })
    }

    fn engine(&self, plan: &Plan) -> String {
        self.services.as_ref().map_or_else(String::new, |services| {
            let (endpoint, fifo) = (services.endpoint(), plan.mode == Mode::OnSqs);
            format!("engine: sqs, sqs: {{ endpoint: '{endpoint}', fifo: {fifo} }}, ")
        })
    }

    fn place(&self) -> String {
        self.s3.as_ref().map_or_else(String::new, |s3| {
            format!("lake: '{}', lake_endpoint: '{}', ", S3::lake("lake"), s3.endpoint())
        })
    }

    /// Has merges end that were interrupted: in an object store others wait, since it may be that somebody is only slow.
    ///
    /// # Panics
    /// When they do not.
    pub(super) fn finish_merges(&self, site: &Site) {
        let Some(s3) = &self.s3 else { return };
        s3.let_time_pass(Path::new("lake/.compact"), MERGE_ABANDONED);
        let lake = self.lake(site);
        let store = site.run(&["store"]);
        until("interrupted merges come to their end", || {
            !log::has_replaced(&lake).expect("a lake that can be read")
        });
        store.terminate();
        store.ended().well();
    }
}

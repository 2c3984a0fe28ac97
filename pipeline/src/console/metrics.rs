//! The text of `/metrics`.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{self, DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::{Registry, Unit},
};
use stages::plan::Counts;

use super::{
    View,
    asked::{Asked, Last},
};
use crate::{
    database::{Database, DatabaseStats},
    ingest::IngestStats,
    lake::DatasetStats,
    meter::Distribution,
    queue::{Balance, Depth, PaidRequests, QueueError},
};

/// The labels of a metric that has none.
const NONE: [(&str, &str); 0] = [];

/// All of the pipeline at one moment.
#[derive(Debug)]
struct Snapshot {
    asked: Arc<Asked>,
    database: Option<DatabaseStats>,
    ingest: Option<IngestStats>,
    lake: Vec<DatasetStats>,
    forgotten: u64,
    paid: PaidRequests,
}

/// # Errors
/// When the queues cannot be asked.
pub(super) async fn text(view: &View, last: &Last) -> Result<String, QueueError> {
    let snapshot = Snapshot {
        asked: last.asked(&view.queues).await?,
        database: view.database.as_ref().map(Database::stats),
        ingest: view.ingest.as_ref().map(|ingest| ingest.stats()),
        lake: view.lake.as_ref().map(|lake| lake.stats()).unwrap_or_default(),
        forgotten: view.forgotten.rows(),
        paid: view.queues.requests(),
    };
    Ok(encoded(snapshot))
}

fn encoded(snapshot: Snapshot) -> String {
    let mut registry = Registry::with_prefix("millstream");
    registry.register_collector(Box::new(snapshot));
    let mut text = String::new();
    // Writing to a string does not fail.
    let _infallible = encoding::text::encode(&mut text, &registry);
    text
}

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Out(encoder);
        self.build(&mut out)?;
        self.books(&mut out)?;
        self.account(&mut out)?;
        self.queues(&mut out)?;
        self.holdings(&mut out)?;
        self.database(&mut out)?;
        self.lake(&mut out)?;
        self.paid(&mut out)?;
        self.ingest.as_ref().map_or(Ok(()), |ingest| intake(ingest, &mut out))
    }
}

impl Snapshot {
    fn build(&self, out: &mut Out<'_>) -> fmt::Result {
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        out.gauges("build", "The version of this program; always 1.", None, [(version, 1)])
    }

    fn books(&self, out: &mut Out<'_>) -> fmt::Result {
        let mut fates = Vec::new();
        for (stage, counts) in &self.asked.books {
            let Counts { consumed, quarantined, repeated, filtered, .. } = *counts;
            for (fate, rows) in [
                ("consumed", consumed),
                ("quarantined", quarantined),
                ("repeated", repeated),
                ("filtered", filtered),
            ] {
                fates.push(([("stage", stage.as_str()), ("fate", fate)], rows));
            }
        }
        let of_stages = |rows: fn(&Counts) -> u64| {
            let books = self.asked.books.iter();
            books.map(move |(stage, counts)| ([("stage", stage.as_str())], rows(counts)))
        };
        out.counters("rows", "Rows that stages took, by what became of them.", None, fates)?;
        out.counters("rows_produced", "Rows that stages made.", None, of_stages(|counts| counts.produced))?;
        out.counters("rows_late", "Rows behind the watermark.", None, of_stages(|counts| counts.late))?;
        let help = "Rows that the memory of repeats forgot early, for dedupe_bytes_max.";
        out.counters("dedupe_forgotten_rows", help, None, [(NONE, self.forgotten)])
    }

    /// Of the rows that entered queues, where the engine keeps an account of them.
    fn account(&self, out: &mut Out<'_>) -> fmt::Result {
        let Asked { kept, balances, .. } = &*self.asked;
        if !kept.keeps_books {
            return Ok(());
        }
        let of_queues = |rows: fn(&Balance) -> u64| {
            balances.iter().map(move |balance| ([("queue", balance.stage.as_str())], rows(balance)))
        };
        let entered = of_queues(|balance| balance.account.entered);
        out.counters("queue_entered_rows", "Rows that were published into a queue.", None, entered)?;
        let dropped = of_queues(|balance| balance.account.dropped);
        out.counters("queue_dropped_rows", "Rows of dead letters that were dropped.", None, dropped)?;
        let differences =
            balances.iter().map(|balance| ([("stage", balance.stage.as_str())], balance.difference()));
        out.gauges("books_difference", "Rows by which the books of a stage differ; 0.", None, differences)
    }

    /// A value of each queue.
    fn of_queues<T>(&self, value: fn(&Depth) -> T) -> impl Iterator<Item = ([(&'static str, &str); 1], T)> {
        self.asked.queues.iter().map(move |(queue, depth)| ([("queue", queue.as_str())], value(depth)))
    }

    /// What every engine tells.
    fn queues(&self, out: &mut Out<'_>) -> fmt::Result {
        let frames = self.of_queues(|depth| depth.frames);
        out.gauges("queue_frames", "Frames in a queue.", None, frames)?;
        let in_flight = self.of_queues(|depth| depth.in_flight);
        out.gauges("queue_in_flight_frames", "Frames that workers hold.", None, in_flight)?;
        let dead = self.of_queues(|depth| depth.dead);
        out.gauges("queue_dead_letters", "Frames and rows that were given up.", None, dead)
    }

    /// What some do: a figure that is not known is left out, since nobody can tell a 0 from it.
    fn holdings(&self, out: &mut Out<'_>) -> fmt::Result {
        let kept = self.asked.kept;
        if kept.keeps_books {
            let rows = self.of_queues(|depth| depth.rows);
            out.gauges("queue_rows", "Rows in a queue.", None, rows)?;
            let bytes = self.of_queues(|depth| depth.bytes);
            out.gauges("queue_size", "Bytes in a queue.", Some(Unit::Bytes), bytes)?;
            let dead_rows = self.of_queues(|depth| depth.dead_rows);
            out.gauges("queue_dead_rows", "Rows of dead letters.", None, dead_rows)?;
            let dead_bytes = self.of_queues(|depth| depth.dead_bytes);
            out.gauges("queue_dead_size", "Bytes of dead letters.", Some(Unit::Bytes), dead_bytes)?;
        }
        if kept.tells_ages {
            let help = "Age of the oldest frame; 0 in an empty queue.";
            let ages = self.of_queues(|depth| depth.oldest_age.unwrap_or_default().as_secs_f64());
            out.gauges("queue_oldest_age", help, Some(Unit::Seconds), ages)?;
        }
        Ok(())
    }

    fn database(&self, out: &mut Out<'_>) -> fmt::Result {
        let Some(DatabaseStats { commit_writes, commit_seconds }) = &self.database else { return Ok(()) };
        out.distribution("commit_writes", "Writes that shared a commit.", None, commit_writes)?;
        out.distribution(
            "commit",
            "Time that a commit took, fsync included.",
            Some(Unit::Seconds),
            commit_seconds,
        )
    }

    fn paid(&self, out: &mut Out<'_>) -> fmt::Result {
        let PaidRequests { sqs, dynamodb } = &self.paid;
        if !sqs.is_empty() {
            let calls = sqs
                .iter()
                .map(|(queue, kind, calls, _)| ([("queue", queue.as_str()), ("kind", *kind)], *calls));
            out.counters("sqs_requests", "Requests to SQS.", None, calls)?;
            let help = "Requests that SQS is paid for: one for each begun 64 KiB of what a request carries.";
            let chunks = sqs
                .iter()
                .map(|(queue, kind, _, chunks)| ([("queue", queue.as_str()), ("kind", *kind)], *chunks));
            out.counters("sqs_chunks", help, None, chunks)?;
        }
        if !dynamodb.is_empty() {
            let calls = dynamodb.iter().map(|(kind, calls)| ([("kind", *kind)], *calls));
            out.counters("dynamodb_requests", "Requests to DynamoDB for items.", None, calls)?;
        }
        Ok(())
    }

    fn lake(&self, out: &mut Out<'_>) -> fmt::Result {
        let of_datasets = |value: fn(&DatasetStats) -> u64| {
            self.lake.iter().map(move |written| ([("dataset", written.dataset.as_str())], value(written)))
        };
        out.counters("lake_files", "Parquet files written.", None, of_datasets(|written| written.files))?;
        out.counters("lake_rows", "Rows written to Parquet.", None, of_datasets(|written| written.rows))?;
        out.counters(
            "lake_written",
            "Bytes of Parquet written.",
            Some(Unit::Bytes),
            of_datasets(|written| written.bytes),
        )?;
        out.counters(
            "compact_partitions",
            "Partitions whose small files were merged.",
            None,
            of_datasets(|written| written.compact.partitions),
        )?;
        out.counters(
            "compact_files",
            "Files that were merged.",
            None,
            of_datasets(|written| written.compact.files),
        )?;
        out.counters(
            "compact_rows",
            "Rows in files that were merged.",
            None,
            of_datasets(|written| written.compact.rows),
        )?;
        out.counters(
            "compact_written",
            "Bytes of merged Parquet files.",
            Some(Unit::Bytes),
            of_datasets(|written| written.compact.bytes),
        )
    }
}

fn intake(ingest: &IngestStats, out: &mut Out<'_>) -> fmt::Result {
    let one = |value: u64| [(NONE, value)];
    out.gauges("ingest_connections", "Connections with devices and brokers.", None, one(ingest.connections))?;
    let refused = one(ingest.connections_refused);
    out.counters(
        "ingest_connections_refused",
        "Connections closed at once, for connections_max.",
        None,
        refused,
    )?;
    let received = "Messages taken, durable or not yet.";
    out.counters("ingest_received", received, None, one(ingest.received))?;
    out.counters("ingest_messages", "Messages that are durable.", None, one(ingest.messages))?;
    out.counters("ingest_frames", "Frames published.", None, one(ingest.frames))?;
    out.counters("ingest_acknowledged", "Acknowledgements sent.", None, one(ingest.acknowledged))?;
    let buffered = one(ingest.buffered_bytes);
    out.gauges(
        "ingest_buffered",
        "Bytes of messages that are not durable yet.",
        Some(Unit::Bytes),
        buffered,
    )?;
    out.distribution("ingest_frame_rows", "Messages in a frame.", None, &ingest.frame_rows)?;
    let help = "Time from the receipt of a message to its acknowledgement.";
    out.distribution("puback", help, Some(Unit::Seconds), &ingest.puback_seconds)
}

/// Writes metrics, one family at a time.
struct Out<'a>(DescriptorEncoder<'a>);

impl Out<'_> {
    fn gauges<L: encoding::EncodeLabelSet, V>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        values: impl IntoIterator<Item = (L, V)>,
    ) -> fmt::Result
    where
        V: encoding::EncodeGaugeValue + Copy,
    {
        let mut family = self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
        values
            .into_iter()
            .try_for_each(|(labels, value)| ConstGauge::new(value).encode(family.encode_family(&labels)?))
    }

    fn counters<L: encoding::EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        values: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?;
        values
            .into_iter()
            .try_for_each(|(labels, value)| ConstCounter::new(value).encode(family.encode_family(&labels)?))
    }

    fn distribution(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        distribution: &Distribution,
    ) -> fmt::Result {
        let Distribution { sum, count, buckets } = distribution;
        let mut encoder: MetricEncoder<'_> =
            self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Histogram)?;
        encoder.encode_histogram::<NoLabelSet>(*sum, *count, buckets, None)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::queue::{Capabilities, QueueName};

    /// The names of the families about queues, of an engine that keeps this.
    fn told(kept: Capabilities) -> Vec<String> {
        let queues = vec![(QueueName::Validate, Depth::default())];
        let asked = Asked { kept, queues, books: BTreeMap::new(), balances: Vec::new() };
        let text = encoded(Snapshot {
            asked: Arc::new(asked),
            database: None,
            ingest: None,
            lake: Vec::new(),
            forgotten: 0,
            paid: PaidRequests::default(),
        });
        let names = text.lines().filter_map(|line| line.strip_prefix("# HELP millstream_"));
        let names = names.filter_map(|line| line.split(' ').next());
        let names = names.filter(|name| name.starts_with("queue_") || name.starts_with("books_"));
        names.map(str::to_owned).collect()
    }

    #[test]
    fn what_an_engine_does_not_know_is_left_out() {
        let everywhere = ["queue_frames", "queue_in_flight_frames", "queue_dead_letters"];
        assert_eq!(told(Capabilities::sqs(true)), everywhere);
        let embedded = told(Capabilities::SQLITE);
        assert!(everywhere.iter().all(|name| embedded.iter().any(|told| told == name)), "{embedded:?}");
        assert_eq!(embedded.len(), 11, "{embedded:?}");
    }
}

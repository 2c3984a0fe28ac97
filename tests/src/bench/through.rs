//! Yardsticks 3 to 5: messages from the simulator through the whole pipeline into the lake, until nothing is left to do.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::Path,
    process::Command,
    time::Duration,
};

use parquet::file::reader::{FileReader, SerializedFileReader};

use super::{
    figures::Figures,
    floor,
    measure::{self, mib, micros_for_each},
    options::Plan,
    send::{Load, Sent, send},
};
use crate::{Child, Console, Site, lake};

/// Samples of a message that has many, and metrics of each sample.
const SAMPLES: u16 = 20;
const METRICS: u64 = 4;
/// Messages with one sample for each with many: these are to take about as long.
const FEWER: u64 = 6;

/// The default topology, which waits at its end for whatever is left.
const PLAIN: &str = "shutdown_secs: 3600\n";
const GROUPS: &str = "groups: [[validate, transform], [analyze, alert]]\n";
const SAMPLES_TOPICS: &str = include_str!("../../data/bench/samples.yaml");
const SAMPLES_SCHEMA: &str = include_str!("../../data/bench/samples.json");

/// Which way messages go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Straight to Millstream.
    Listener,
    /// By a broker, of which Millstream is a client.
    Subscriber,
    /// Straight, twenty samples in each.
    Batched,
    /// Straight, with stages in groups.
    Grouped,
}

/// What came of a run.
pub(super) struct Through {
    messages: u64,
    readings: u64,
    /// From the start of the simulator to the end of the pipeline.
    took: Duration,
    pipeline: Duration,
    simulator: Duration,
    peak: u64,
}

impl Way {
    /// What the keys of its figures begin with.
    fn name(self) -> &'static str {
        match self {
            Self::Listener => "listener",
            Self::Subscriber => "subscriber",
            Self::Batched => "batched",
            Self::Grouped => "grouped",
        }
    }

    fn samples(self) -> u16 {
        if self == Self::Batched { SAMPLES } else { 1 }
    }

    fn site(self) -> Site {
        let site = Site::new(PLAIN);
        match self {
            Self::Listener | Self::Subscriber => {}
            Self::Grouped => site.configure(&format!("{PLAIN}{GROUPS}")),
            Self::Batched => {
                fs::write(site.path("samples.json"), SAMPLES_SCHEMA).expect("a file");
                site.configure(&format!("{PLAIN}{SAMPLES_TOPICS}"));
            }
        }
        site
    }
}

/// One round.
pub(super) fn round(plan: &Plan, way: Way) -> Through {
    let messages = match way {
        Way::Listener | Way::Grouped => plan.messages,
        Way::Subscriber => plan.messages_by_broker(),
        Way::Batched => plan.messages.div_ceil(FEWER),
    };
    let load = Load { samples: way.samples(), ..Load::of(messages) };
    let site = way.site();
    if way == Way::Subscriber {
        return by_broker(plan, load, &site);
    }
    run(plan, load, &site, |command| command)
}

/// Sends `load` to a listener; both programs are run as `wrap` says.
pub(super) fn run(plan: &Plan, load: Load, site: &Site, wrap: impl Fn(Command) -> Command) -> Through {
    let up = Child::start(wrap(site.up_command()));
    up.says("listening on mqtt://");
    let sent = send(wrap(simulator(plan, load, site, site.address())));
    end(plan, up, site, load, &sent)
}

fn by_broker(plan: &Plan, load: Load, site: &Site) -> Through {
    let broker = floor::broker(plan);
    site.configure(&format!(
        "{PLAIN}ingest: {{ subscriber: {{ broker: '{}', receive_maximum: {} }} }}\n",
        broker.url("mqtt"),
        plan.inflight
    ));
    let mut command = site.millstream("up");
    command.args(["--console", &site.webhook(0).to_string()]);
    let up = Child::start(command);
    let console = Console::of(&up);
    up.says("subscribed to ");
    let sent = send(simulator(plan, load, site, broker.address()));
    measure::until("all messages come from the broker", || {
        console.metric("millstream_ingest_messages_total") >= sent.messages() as f64
    });
    end(plan, up, site, load, &sent)
}

/// The simulator, to be started. Where it keeps a ledger, what it costs is not what is measured.
fn simulator(plan: &Plan, load: Load, site: &Site, to: SocketAddr) -> Command {
    let mut command = load.command(plan, to);
    if plan.ledgers {
        command.arg("--ledger").arg(site.ledger());
    }
    command
}

/// Asks the pipeline to end, which it does once all is in the lake.
fn end(plan: &Plan, up: Child, site: &Site, load: Load, sent: &Sent) -> Through {
    up.terminate();
    let spent = measure::until_ended(up);
    let messages = sent.messages();
    let readings = messages * METRICS * u64::from(load.samples);
    assert_all_is_stored(site, readings);
    if plan.ledgers {
        assert_eq!(site.verify()["stored"], messages);
    }
    let took = spent.at - sent.started;
    Through { messages, readings, took, pipeline: spent.cpu, simulator: sent.cpu, peak: spent.peak }
}

/// Every reading is in the lake, nothing else is, and the books balance.
pub(super) fn assert_all_is_stored(site: &Site, readings: u64) {
    assert_eq!(rows(&site.lake().join("readings")), readings, "readings in the lake");
    assert_eq!(rows(&site.lake().join("quarantine")), 0, "messages in the quarantine");
    let mut books = site.millstream("queues");
    books.arg("--check");
    Child::start(books).ended().well();
}

/// Rows of all files of a dataset, as their footers tell.
fn rows(dataset: &Path) -> u64 {
    let rows = lake::files(dataset).into_iter().map(|path| {
        let file = SerializedFileReader::new(File::open(path).expect("a file")).expect("a Parquet file");
        u64::try_from(file.metadata().file_metadata().num_rows()).expect("a number of rows")
    });
    rows.sum()
}

impl Through {
    pub(super) fn messages_per_sec(&self) -> f64 {
        self.messages as f64 / self.took.as_secs_f64()
    }

    pub(super) fn readings_per_sec(&self) -> f64 {
        self.readings as f64 / self.took.as_secs_f64()
    }

    /// CPU of the pipeline for each message.
    pub(super) fn cpu_micros(&self) -> f64 {
        micros_for_each(self.pipeline, self.messages)
    }

    /// Puts the figures of a round down.
    pub(super) fn enter(&self, way: Way, figures: &mut Figures) {
        let name = way.name();
        figures.add(&format!("{name}_msgs_per_sec"), self.messages_per_sec());
        figures.add(&format!("{name}_peak_mib"), mib(self.peak));
        let cpu = if way == Way::Listener { "pipeline" } else { name };
        figures.add(&format!("{cpu}_cpu_us_per_message"), self.cpu_micros());
        if way == Way::Batched {
            figures.add("batched_readings_per_sec", self.readings_per_sec());
            figures.add("batched_cpu_us_per_reading", micros_for_each(self.pipeline, self.readings));
        }
        let simulator = micros_for_each(self.simulator, self.messages);
        figures.add(&format!("{name}_simulator_cpu_us_per_message"), simulator);
        if way == Way::Listener {
            figures.add("listener_secs", self.took.as_secs_f64());
        }
    }
}

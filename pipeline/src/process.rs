//! The parts of a topology that one process runs: all of them (`up`), or some (`run STAGE…`).

mod dry;
mod open;
mod part;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use stages::stage::Stage;
use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
    time::timeout,
};
use tracing::{info, warn};

#[cfg(feature = "sqs")]
pub use self::open::{sqs_client, table};
use self::{
    dry::{frames_left, until_dry},
    open::local_file,
};
pub use self::{
    open::{data_file, look_at_queues, open_queues},
    part::Part,
};
use crate::{
    config::Config,
    console::{Console, ConsoleError, View},
    database::{Database, DatabaseError},
    ingest::{Door, Ingest, IngestError},
    lake::{CompactTask, Intents, LakeError, LakeMeters, Mode, Store},
    notify::{Notify, NotifyError, Recipients},
    queue::{QueueError, QueueName, Queues},
    state::StateStore,
    worker::{Flow, Forgotten, SharedHop, SharedStage, StageWorker, Ticker},
};

/// Tasks of a stage on an ordered queue, as far as there are lanes for them: while one waits for its
/// commit, another plans.
const TASKS_MAX: u16 = 4;

/// Why a process did not start, or does not go on.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The data file cannot be used.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The queues cannot be used.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The lake cannot be used.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// Alerts cannot be delivered.
    #[error(transparent)]
    Notify(#[from] NotifyError),
    /// The intake cannot start.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// The intake cannot go on.
    #[error(transparent)]
    Intake(Arc<IngestError>),
    /// There is no console.
    #[error(transparent)]
    Console(#[from] ConsoleError),
    /// Only some of the stages of a group were asked for.
    #[error(
        "the topology runs {} as one hop: run {missing}, too, or take the group out of `groups`",
        .group.join(" and ")
    )]
    Group {
        /// The stages of the group.
        group: Vec<&'static str>,
        /// One of them that was not asked for.
        missing: Part,
    },
    /// A task ended by a bug.
    #[error("a task ended by a bug in this program: {0}")]
    Bug(#[from] JoinError),
}

/// Running parts of a topology.
pub struct Process {
    queues: Queues,
    /// The data file, where this process has one: the queues are in it, or MQTT sessions alone.
    database: Option<Database>,
    ingest: Option<Ingest>,
    console: Option<Console>,
    lake: Option<Arc<LakeMeters>>,
    notify: Option<Notify>,
    /// Rows that the memory of repeats had to forget early.
    forgotten: Forgotten,
    /// What comes to analyze.
    flow: Flow,
    tasks: JoinSet<Result<(), ProcessError>>,
    /// What the workers of each stage take before each run.
    stages: Vec<(Part, watch::Sender<Stage>)>,
    stop: watch::Sender<bool>,
    /// Stops the ticker, which goes before the queues run dry.
    stop_ticks: watch::Sender<bool>,
    mode: watch::Sender<Mode>,
    /// True from the moment on that the process is told to stop.
    stopping: watch::Sender<bool>,
}

impl Process {
    /// Starts `parts` of the topology.
    ///
    /// # Errors
    /// When the data directory, the lake or the listener's address cannot be used, or `parts` has only some stages of a group.
    pub async fn start(config: &Config, parts: &[Part]) -> Result<Self, ProcessError> {
        let groups = groups(config, parts)?;
        let queues = open_queues(config).await?;
        let database = local_file(config, &queues, parts)?;
        let (stop, mode) = (watch::Sender::new(false), watch::Sender::new(Mode::Collect));
        let mut process = Self {
            queues,
            database,
            ingest: None,
            notify: None,
            console: None,
            lake: None,
            forgotten: Forgotten::default(),
            flow: Flow::default(),
            tasks: JoinSet::new(),
            stages: Vec::new(),
            stop,
            stop_ticks: watch::Sender::new(false),
            mode,
            stopping: watch::Sender::new(false),
        };
        process.spawn_stages(config, parts, &groups)?;
        if parts.contains(&Part::Store) {
            process.spawn_store(config).await?;
        }
        // `up` runs everything, also where nobody is to be told.
        let told = !config.topology().notify.webhooks.is_empty() || parts != Part::ALL;
        if told && parts.contains(&Part::Notify) {
            process.notify = Some(Notify::start(config, process.queues.clone()).await?);
        }
        if parts.contains(&Part::Ingest)
            && let Some(database) = process.database.clone()
        {
            let topics = Arc::new(config.stages().topics.clone());
            let (packer, faces) = (config.packer_options(), config.faces()?);
            let ingest = Ingest::start(process.queues.clone(), database, topics, packer, faces).await?;
            process.ingest = Some(ingest);
        }
        if parts.contains(&Part::Analyze) {
            process.spawn_ticker(config);
        }
        if let Some(listen) = config.topology().console.listen {
            let view = View {
                queues: process.queues.clone(),
                database: process.database.clone(),
                ingest: process.ingest.as_ref().map(Ingest::view),
                lake: process.lake.clone(),
                forgotten: process.forgotten.clone(),
                stopping: process.stopping.subscribe(),
            };
            process.console = Some(Console::start(listen, view).await?);
        }
        Ok(process)
    }

    /// Where it can be looked at, if anywhere.
    pub fn console_addr(&self) -> Option<SocketAddr> {
        self.console.as_ref().map(Console::local_addr)
    }

    /// Where devices connect to, when this process takes messages.
    pub fn doors(&self) -> &[Door] {
        self.ingest.as_ref().map(Ingest::doors).unwrap_or_default()
    }

    /// Where devices connect to in the clear.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.ingest.as_ref().and_then(Ingest::local_addr)
    }

    /// The stages, to put others of the same kind in their place while they run.
    pub fn stages(&self) -> impl Iterator<Item = (Part, watch::Sender<Stage>)> {
        self.stages.iter().cloned()
    }

    /// The queues between the parts.
    pub fn queues(&self) -> &Queues {
        &self.queues
    }

    /// Waits until something cannot go on; for ever, if nothing ever fails.
    pub async fn failed(&mut self) -> ProcessError {
        let ingest = async {
            match &self.ingest {
                Some(ingest) => ingest.failed().await,
                None => std::future::pending().await,
            }
        };
        let task = async {
            loop {
                match self.tasks.join_next().await {
                    Some(Ok(Ok(()))) => {}
                    Some(Ok(Err(error))) => return error,
                    Some(Err(error)) => return error.into(),
                    None => std::future::pending().await,
                }
            }
        };
        let notify = async {
            match &mut self.notify {
                Some(notify) => notify.failed().await,
                None => std::future::pending().await,
            }
        };
        let console = async {
            match &mut self.console {
                Some(console) => console.failed().await,
                None => std::future::pending().await,
            }
        };
        let database = async {
            match &self.database {
                Some(database) => database.stopped().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            // Before the parts that fail of it, of which some could go on for long without noticing.
            error = database => error.into(),
            error = ingest => ProcessError::Intake(error),
            error = notify => error.into(),
            error = task => error,
            error = console => error.into(),
        }
    }

    /// Stops the intake and waits until every row is in the lake, and every alert delivered that a webhook takes.
    /// Open windows stay open, in the state of analyze.
    ///
    /// # Errors
    /// When a part cannot go on.
    pub async fn drain(&mut self) -> Result<(), ProcessError> {
        if let Some(ingest) = self.ingest.take() {
            ingest.stop().await.map_err(ProcessError::Intake)?;
        }
        self.end_ticks().await;
        self.mode.send_replace(Mode::Flush);
        let queues = self.queues.clone();
        tokio::select! {
            dry = until_dry(&queues) => dry?,
            error = self.failed() => return Err(error),
        }
        if let Some(notify) = self.notify.take() {
            notify.flush().await?;
        }
        Ok(())
    }

    /// Stops all parts, each after what it has in hand. With `drain`, the queues are run dry first, as
    /// far as `limit` allows; the rest stays queued for the next start.
    ///
    /// # Errors
    /// When a part cannot go on.
    pub async fn stop(mut self, drain: bool, limit: Duration) -> Result<(), ProcessError> {
        self.stopping.send_replace(true);
        let stopped = timeout(limit, async {
            if drain {
                self.drain().await?;
            } else if let Some(ingest) = self.ingest.take() {
                ingest.stop().await.map_err(ProcessError::Intake)?;
            }
            self.end_ticks().await;
            self.stop.send_replace(true);
            self.mode.send_replace(Mode::Stop);
            while let Some(ended) = self.tasks.join_next().await {
                ended??;
            }
            if let Some(notify) = self.notify.take() {
                notify.stop().await?;
            }
            Ok(())
        });
        match stopped.await {
            Ok(result) => result,
            Err(_) => {
                let frames = frames_left(&self.queues, QueueName::ALL).await?;
                warn!(frames, "not done within shutdown_secs: what is left stays queued for the next start");
                Ok(())
            }
        }
    }

    fn stage(&self, config: &Config, part: Part) -> Option<Stage> {
        let stages = config.stages();
        match part {
            Part::Ingest | Part::Store | Part::Notify => None,
            Part::Validate => Some(Stage::Validate(Arc::clone(&stages.validate))),
            Part::Transform => Some(Stage::Transform(Arc::clone(&stages.transform))),
            Part::Analyze => Some(Stage::Analyze(Arc::clone(&stages.analyze))),
            Part::Alert => Some(Stage::Alert(Arc::clone(&stages.alert))),
        }
    }

    /// Starts the workers of stages. One that begins a group runs the whole hop; the others of the group have workers of
    /// their own all the same, for what comes into their queues by other ways.
    fn spawn_stages(
        &mut self,
        config: &Config,
        parts: &[Part],
        groups: &[Vec<Part>],
    ) -> Result<(), ProcessError> {
        let mut shared = Vec::new();
        for part in parts {
            let Some(stage) = self.stage(config, *part) else { continue };
            let (sender, latest) = watch::channel(stage);
            self.stages.push((*part, sender));
            shared.push((*part, SharedStage::new(latest)));
        }
        for (part, stage) in &shared {
            let group = groups.iter().find(|group| group.first() == Some(part));
            let rest = group.into_iter().flatten().skip(1);
            let rest = rest.filter_map(|inner| shared.iter().find(|(other, _)| other == inner));
            let hop = rest.fold(SharedHop::of(stage.clone()), |hop, (_, stage)| hop.then(stage.clone()));
            self.spawn_hop(config, hop)?;
        }
        Ok(())
    }

    fn spawn_hop(&mut self, config: &Config, hop: SharedHop) -> Result<(), ProcessError> {
        let state = StateStore::of(&self.queues).ok_or(NO_TABLE)?;
        let max_attempts = config.topology().queues.max_attempts;
        // Of a queue without order one task takes the frames as they came: several would mix up what a
        // device sent, and rows in order would come out as late.
        let (ordered, is_analyze) = (hop.queue().is_ordered(), hop.queue() == QueueName::Analyze);
        let tasks = if ordered { config.topology().lanes.min(TASKS_MAX) } else { 1 };
        let flow = if is_analyze { self.flow.clone() } else { Flow::default() };
        let worker = StageWorker::new(hop, self.queues.clone(), state, max_attempts, self.stop.subscribe())
            .telling(Recipients::of(&config.topology().notify))
            .counting(self.forgotten.clone())
            .feeding(flow);
        for _ in 0..tasks {
            let worker = worker.clone();
            self.tasks.spawn(async move { Ok(worker.run().await?) });
        }
        Ok(())
    }

    fn spawn_ticker(&mut self, config: &Config) {
        let (queues, stop) = (self.queues.clone(), self.stop_ticks.subscribe());
        let mut ticker = Ticker::new(queues, config.tick_options(), stop).hearing(self.flow.clone());
        if let Some(ingest) = &self.ingest {
            let view = ingest.view();
            ticker = ticker.behind(move || view.durable_until());
        }
        self.tasks.spawn(async move { Ok(ticker.run().await?) });
    }

    /// Ends the ticker and waits until it has: from here on it publishes nothing.
    async fn end_ticks(&self) {
        self.stop_ticks.send_replace(true);
        self.stop_ticks.closed().await;
    }

    async fn spawn_store(&mut self, config: &Config) -> Result<(), ProcessError> {
        let intents = Intents::of(&self.queues).ok_or(NO_TABLE)?;
        let lake = config.open_lake().await?;
        self.lake = Some(lake.meters());
        let compactor = config.compactor(lake.clone(), false);
        // It stops before a drain: that does not wait for it, nor share the machine with it.
        let task =
            CompactTask::new(compactor, intents.clone(), config.compact_every(), self.stopping.subscribe());
        self.tasks.spawn(async move { Ok(task.run().await?) });
        let queues = self.queues.clone();
        let store = Store::new(lake, queues, intents, config.store_options(), self.mode.subscribe());
        self.tasks.spawn(async move { Ok(store.run().await?) });
        info!(lake = %config.lake(), "store writes");
        Ok(())
    }
}

/// Queues are opened with their table.
const NO_TABLE: QueueError = QueueError::Embedded { what: "a process without a table for its state" };

/// The groups of a topology that have to do with `parts`.
fn groups(config: &Config, parts: &[Part]) -> Result<Vec<Vec<Part>>, ProcessError> {
    let groups = config.topology().groups.iter();
    let groups = groups.map(|group| group.iter().map(|stage| Part::from(*stage)).collect::<Vec<_>>());
    let groups: Vec<_> = groups.filter(|group| group.iter().any(|part| parts.contains(part))).collect();
    for group in &groups {
        if let Some(missing) = group.iter().find(|part| !parts.contains(part)) {
            let group = group.iter().map(|part| part.as_str()).collect();
            return Err(ProcessError::Group { group, missing: *missing });
        }
    }
    Ok(groups)
}

//! The store worker and the lake: `pipeline/src/lake` without files. A partition is written at once; between two of them
//! anything may happen.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use arrow_array::RecordBatch;
use arrow_select::interleave::interleave_record_batch;
use rand::RngExt;
use stages::{
    frame::{self, Frame, FrameId},
    plan::Counts,
    store::{self, Dataset, Granularity, Partition},
};

use crate::{
    queue::Delivery,
    topology::STORE,
    world::{Engine, World},
};

const ROLL_FRAMES: usize = 24;

/// A file of the lake.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) dataset: Dataset,
    pub(crate) rows: RecordBatch,
    partition: Partition,
    /// The frames that the rows are of.
    frames: Vec<FrameId>,
}

/// What is durable in the lake, and of how it came there.
pub(crate) struct Lake {
    granularity: Granularity,
    pub(crate) files: Vec<File>,
    /// Rolls under way: what each has written of which frame.
    intents: BTreeMap<u64, Vec<(FrameId, Vec<Partition>)>>,
    /// What interrupted rolls have written of frames.
    written: BTreeMap<FrameId, Vec<Partition>>,
    /// The frames that are in the lake, where repeats are recognised by id.
    stored: BTreeSet<FrameId>,
    rolls: u64,
}

/// Frames in the hands of a store worker.
pub(crate) struct StoreJob {
    pub(crate) process: usize,
    pub(crate) lease: u64,
    run: Vec<Delivery>,
    phase: Phase,
}

enum Phase {
    Held,
    /// Which files there are to write, and what was written of each frame at that time.
    Planned(VecDeque<File>, Vec<usize>),
    Writing(u64, VecDeque<File>),
    Stored,
}

impl Lake {
    pub(crate) fn new(granularity: Granularity) -> Self {
        Self {
            granularity,
            files: Vec::new(),
            intents: BTreeMap::new(),
            written: BTreeMap::new(),
            stored: BTreeSet::new(),
            rolls: 0,
        }
    }

    /// Ends the interrupted rolls that a frame is part of: they write nothing any more, and what they have written is
    /// known from here on.
    fn resolve(&mut self, id: FrameId) {
        let names = |frames: &Vec<(FrameId, Vec<Partition>)>| frames.iter().any(|(frame, _)| *frame == id);
        let rolls: Vec<u64> =
            self.intents.iter().filter(|(_, frames)| names(frames)).map(|(roll, _)| *roll).collect();
        for (frame, partitions) in rolls.iter().filter_map(|roll| self.intents.remove(roll)).flatten() {
            self.written.entry(frame).or_default().extend(partitions);
        }
    }

    /// The files that the frames lead to, without what is written already.
    fn plan(&mut self, run: &[Delivery]) -> VecDeque<File> {
        let mut groups: BTreeMap<(Dataset, u64), Vec<(FrameId, RecordBatch)>> = BTreeMap::new();
        for delivery in run {
            self.resolve(delivery.id);
            let Frame { header, rows } = frame::decode(&delivery.bytes).unwrap();
            let dataset = Dataset::of(header.kind).expect("only rows of datasets are stored");
            let written = self.written.get(&delivery.id).map_or(&[][..], Vec::as_slice);
            let rows = store::without_written(dataset, &rows, written).unwrap();
            let group = (dataset, store::columns_id(&rows.schema()));
            groups.entry(group).or_default().push((delivery.id, rows));
        }
        groups.into_iter().flat_map(|((dataset, _), frames)| self.files(dataset, &frames)).collect()
    }

    fn files(&self, dataset: Dataset, frames: &[(FrameId, RecordBatch)]) -> Vec<File> {
        let batches: Vec<RecordBatch> = frames.iter().map(|(_, rows)| rows.clone()).collect();
        let runs = store::arrange(dataset, self.granularity, &batches).unwrap();
        let batches: Vec<&RecordBatch> = batches.iter().collect();
        let file = |(partition, rows): store::Run| File {
            dataset,
            rows: interleave_record_batch(&batches, &rows).unwrap(),
            partition,
            frames: rows.iter().map(|(batch, _)| frames[*batch].0).collect(),
        };
        runs.into_iter().map(file).collect()
    }

    /// How many partitions interrupted rolls have written of each frame.
    fn written(&self, run: &[Delivery]) -> Vec<usize> {
        run.iter().map(|delivery| self.written.get(&delivery.id).map_or(0, Vec::len)).collect()
    }

    /// Says what is about to be written, before the first row is; none where another roll has taken a frame up since
    /// `written` was looked at.
    fn intend(&mut self, run: &[Delivery], written: &[usize]) -> Option<u64> {
        let named = |id: &FrameId| self.intents.values().flatten().any(|(frame, _)| frame == id);
        let taken = |delivery: &Delivery| self.stored.contains(&delivery.id) || named(&delivery.id);
        if run.iter().any(taken) || self.written(run) != written {
            return None;
        }
        self.rolls += 1;
        self.intents.insert(self.rolls, run.iter().map(|delivery| (delivery.id, Vec::new())).collect());
        Some(self.rolls)
    }

    /// Writes a file, unless somebody has ended the roll.
    fn write(&mut self, roll: u64, file: File) -> bool {
        let Some(frames) = self.intents.get_mut(&roll) else { return false };
        for (frame, partitions) in frames {
            if file.frames.contains(frame) {
                partitions.push(file.partition);
            }
        }
        self.files.push(file);
        true
    }
}

impl World<'_> {
    /// A store worker takes frames.
    pub(crate) fn receive_to_store(&mut self, process: usize) {
        let frames = self.rng.random_range(1..=ROLL_FRAMES);
        let Some((lease, run)) = self.queues[STORE].receive(self.rng, frames) else { return };
        self.store_jobs.push(StoreJob { process, lease, run, phase: Phase::Held });
    }

    /// Takes a roll one step on; it comes back unless it is at its end.
    pub(crate) fn advance_store(&mut self, mut job: StoreJob) -> Option<StoreJob> {
        let one_transaction = self.scenario.engine == Engine::OneTransaction;
        match std::mem::replace(&mut job.phase, Phase::Held) {
            Phase::Held => {
                if !one_transaction {
                    self.drop_stored(&mut job);
                }
                if job.run.is_empty() || !self.holds(&job) {
                    return None;
                }
                let files = self.lake.plan(&job.run);
                job.phase = Phase::Planned(files, self.lake.written(&job.run));
                Some(job)
            }
            Phase::Planned(files, written) => {
                if one_transaction && !self.holds(&job) {
                    return None;
                }
                if let Some(roll) = self.lake.intend(&job.run, &written) {
                    job.phase = Phase::Writing(roll, files);
                }
                Some(job)
            }
            Phase::Writing(roll, mut files) => {
                if let Some(file) = files.pop_front() {
                    job.phase = Phase::Writing(roll, files);
                    return self.lake.write(roll, file).then_some(job);
                }
                self.finish(job, roll)
            }
            Phase::Stored => {
                let _may_be_lost = self.settle_stored(&job);
                None
            }
        }
    }

    /// All is written.
    fn finish(&mut self, mut job: StoreJob, roll: u64) -> Option<StoreJob> {
        if self.scenario.engine == Engine::OneTransaction {
            if self.settle_stored(&job) {
                self.lake.intents.remove(&roll);
                self.enter_stored(&job);
            }
            return None;
        }
        self.lake.intents.remove(&roll)?;
        self.lake.stored.extend(job.run.iter().map(|delivery| delivery.id));
        self.enter_stored(&job);
        job.phase = Phase::Stored;
        Some(job)
    }

    /// Settles the frames that are in the lake already, and those that the run has twice.
    fn drop_stored(&mut self, job: &mut StoreJob) {
        let mut first = BTreeSet::new();
        let (fresh, repeats): (Vec<_>, Vec<_>) = std::mem::take(&mut job.run)
            .into_iter()
            .partition(|delivery| !self.lake.stored.contains(&delivery.id) && first.insert(delivery.id));
        job.run = fresh;
        for delivery in repeats {
            if self.queues[STORE].done(job.lease, &[delivery.serial]).is_ok() {
                let rows = rows(&delivery);
                self.books[STORE].add(rows, Counts { repeated: rows, ..Counts::default() }, 0);
            }
        }
    }

    fn holds(&self, job: &StoreJob) -> bool {
        self.queues[STORE].holds(job.lease, &serials(job))
    }

    fn settle_stored(&mut self, job: &StoreJob) -> bool {
        self.queues[STORE].done(job.lease, &serials(job)).is_ok()
    }

    fn enter_stored(&mut self, job: &StoreJob) {
        let rows = job.run.iter().map(rows).sum();
        self.books[STORE].add(rows, Counts { consumed: rows, produced: rows, ..Counts::default() }, 0);
    }
}

fn serials(job: &StoreJob) -> Vec<u64> {
    job.run.iter().map(|delivery| delivery.serial).collect()
}

fn rows(delivery: &Delivery) -> u64 {
    frame::decode(&delivery.bytes).unwrap().rows.num_rows() as u64
}

//! The store worker and the lake: `pipeline/src/lake` without files. A partition is written at once, and files are merged
//! at once; between two of these anything may happen.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use arrow_array::RecordBatch;
use arrow_select::{concat::concat_batches, interleave::interleave_record_batch};
use rand::RngExt;
use stages::{
    frame::{self, Frame, FrameId},
    plan::Counts,
    store::{self, Dataset, Granularity, Partition},
};

use crate::{
    Rng,
    queue::Delivery,
    topology::STORE,
    world::{Engine, World},
};

const ROLL_FRAMES: usize = 24;

/// Which rows share files: those of one dataset with the same columns.
type GroupKey = (Dataset, u64);

/// A file of the lake.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) dataset: Dataset,
    pub(crate) rows: RecordBatch,
    place: Place,
}

/// What is known of a file without a look into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    group: GroupKey,
    partition: Partition,
    /// No name comes again.
    name: u64,
}

/// An intent: what is about to be written of which frames.
#[derive(Debug)]
struct Roll {
    frames: Vec<FrameId>,
    files: Vec<Place>,
    /// Whether somebody has ended it: it writes nothing any more, and `files` are those that are there.
    resolved: bool,
}

/// What is durable in the lake, and of how it came there.
pub(crate) struct Lake {
    granularity: Granularity,
    pub(crate) files: Vec<File>,
    rolls: BTreeMap<u64, Roll>,
    /// The frames that are in the lake, where repeats are recognised by id.
    stored: BTreeSet<FrameId>,
    /// Counts rolls and names of files.
    count: u64,
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
        Self { granularity, files: Vec::new(), rolls: BTreeMap::new(), stored: BTreeSet::new(), count: 0 }
    }

    /// Ends the interrupted rolls that a frame is part of. Which of their files are there their names say.
    fn resolve(&mut self, id: FrameId) {
        let names: BTreeSet<u64> = self.files.iter().map(|file| file.place.name).collect();
        for roll in self.rolls.values_mut().filter(|roll| !roll.resolved && roll.frames.contains(&id)) {
            roll.resolved = true;
            roll.files.retain(|file| names.contains(&file.name));
        }
    }

    /// What interrupted rolls have written of a frame, or of others of its group.
    fn written_of(&self, id: FrameId, group: GroupKey) -> Vec<Partition> {
        let rolls = self.rolls.values().filter(|roll| roll.resolved && roll.frames.contains(&id));
        let files = rolls.flat_map(|roll| &roll.files).filter(|file| file.group == group);
        files.map(|file| file.partition).collect()
    }

    /// The files that the frames lead to, without what is written already.
    fn plan(&mut self, run: &[Delivery]) -> VecDeque<File> {
        let mut groups: BTreeMap<GroupKey, Vec<RecordBatch>> = BTreeMap::new();
        for delivery in run {
            self.resolve(delivery.id);
            let (group, rows) = rows_of(delivery);
            let written = self.written_of(delivery.id, group);
            let rows = store::without_written(group.0, &rows, &written).unwrap();
            groups.entry(group).or_default().push(rows);
        }
        groups.into_iter().flat_map(|(group, batches)| self.files(group, &batches)).collect()
    }

    fn files(&mut self, group: GroupKey, batches: &[RecordBatch]) -> Vec<File> {
        let dataset = group.0;
        let runs = store::arrange(dataset, self.granularity, batches).unwrap();
        let batches: Vec<&RecordBatch> = batches.iter().collect();
        let file = |(partition, order): store::Run| {
            let rows: Vec<_> = order.iter().flat_map(store::Stretch::places).collect();
            File {
                dataset,
                rows: interleave_record_batch(&batches, &rows).unwrap(),
                place: Place { group, partition, name: self.number() },
            }
        };
        runs.into_iter().map(file).collect()
    }

    fn number(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    /// How many partitions interrupted rolls have written of each frame.
    fn written(&self, run: &[Delivery]) -> Vec<usize> {
        run.iter().map(|delivery| self.written_of(delivery.id, rows_of(delivery).0).len()).collect()
    }

    /// Says what is about to be written, before the first row is; none where another roll has taken a frame up since
    /// `written` was looked at.
    fn intend(&mut self, run: &[Delivery], files: &VecDeque<File>, written: &[usize]) -> Option<u64> {
        let open = |id: &FrameId| self.rolls.values().any(|roll| !roll.resolved && roll.frames.contains(id));
        let taken = |delivery: &Delivery| self.stored.contains(&delivery.id) || open(&delivery.id);
        if run.iter().any(taken) || self.written(run) != written {
            return None;
        }
        let frames = run.iter().map(|delivery| delivery.id).collect();
        let files = files.iter().map(|file| file.place).collect();
        let number = self.number();
        self.rolls.insert(number, Roll { frames, files, resolved: false });
        Some(number)
    }

    fn is_open(&self, roll: u64) -> bool {
        self.rolls.get(&roll).is_some_and(|roll| !roll.resolved)
    }

    /// Writes a file, unless somebody has ended the roll.
    fn write(&mut self, roll: u64, file: File) -> bool {
        let open = self.is_open(roll);
        if open {
            self.files.push(file);
        }
        open
    }

    /// Forgets frames whose rows are all in the lake, and every roll that has no others.
    fn forget(&mut self, run: &[Delivery]) {
        self.rolls.retain(|_, roll| {
            roll.frames.retain(|frame| run.iter().all(|delivery| delivery.id != *frame));
            !roll.frames.is_empty()
        });
    }

    /// Merges files of a partition that no intent names.
    fn merge(&mut self, rng: &mut Rng) {
        let named: BTreeSet<u64> =
            self.rolls.values().flat_map(|roll| &roll.files).map(|file| file.name).collect();
        let free: Vec<Place> =
            self.files.iter().map(|file| file.place).filter(|place| !named.contains(&place.name)).collect();
        if free.is_empty() {
            return;
        }
        let Place { group, partition, .. } = free[rng.random_range(0..free.len())];
        let is_one = |file: &mut File| {
            free.contains(&file.place) && file.place.group == group && file.place.partition == partition
        };
        let merged: Vec<RecordBatch> = self.files.extract_if(.., is_one).map(|file| file.rows).collect();
        let rows = concat_batches(&merged[0].schema(), &merged).unwrap();
        let name = self.number();
        self.files.push(File { dataset: group.0, rows, place: Place { group, partition, name } });
    }
}

impl World<'_> {
    /// Files are merged, whoever else is at work.
    pub(crate) fn merge_files(&mut self) {
        self.lake.merge(self.rng);
    }

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
                if let Some(roll) = self.lake.intend(&job.run, &files, &written) {
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
                self.lake.forget(&job.run);
                self.enter_stored(&job);
            }
            return None;
        }
        if !self.lake.is_open(roll) {
            return None;
        }
        self.lake.forget(&job.run);
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
    rows_of(delivery).1.num_rows() as u64
}

fn rows_of(delivery: &Delivery) -> (GroupKey, RecordBatch) {
    let Frame { header, rows } = frame::decode(&delivery.bytes).unwrap();
    let dataset = Dataset::of(header.kind).expect("only rows of datasets are stored");
    ((dataset, store::columns_id(&rows.schema())), rows)
}

//! One roll: the files that a set of frames becomes, from the intent to the settled frames.

use std::sync::Arc;

use stages::{
    frame::{FrameError, FrameId, Micros},
    plan::Counts,
    store::{self, Granularity, Stretch},
};
use tokio::task::spawn_blocking;

use super::{
    Lake, LakeError,
    collection::Collection,
    intents::{GivenUp, Intent, Intents, Interrupted, PlannedFile},
    parquet,
    place::Staging,
};
use crate::{failpoint::fail_point, queue::Receipt};

/// A collection cut into files.
pub(super) struct Roll {
    name: String,
    collection: Collection,
    files: Vec<RollFile>,
}

struct RollFile {
    planned: PlannedFile,
    /// Which group of the collection, and which of its rows in which order.
    group: usize,
    order: Vec<Stretch>,
}

impl Roll {
    /// Sorts the rows and cuts them at partitions. `now` makes the name: files of a directory sort by
    /// the time they were written.
    pub(super) fn plan(
        mut collection: Collection,
        granularity: Granularity,
        now: Micros,
    ) -> Result<Self, FrameError> {
        collection.join()?;
        let id = FrameId::joined(collection.frames.iter().map(|claim| claim.frame)).to_string();
        let name = format!("{now:014x}-{}", &id[..8]);
        let mut files = Vec::new();
        for (group, rows) in collection.groups.iter().enumerate() {
            let key = rows.key;
            for (partition, order) in store::arrange(key.dataset, granularity, &rows.batches)? {
                let directory = granularity.directory(partition);
                let path = format!("{}/{directory}/{name}-{group}.parquet", key.dataset.as_str());
                files.push(RollFile { planned: PlannedFile { path, key, partition }, group, order });
            }
        }
        Ok(Self { name, collection, files })
    }

    /// Makes the place where the files are written. Before the intent: who resolves the intent takes the
    /// place away, and it must not come into being after that. Blocks.
    pub(super) fn stage(&self, lake: &Lake) -> Result<Staging, LakeError> {
        lake.stage(&self.name)
    }

    /// Commits the intent, provided that all `receipts` are still held.
    pub(super) async fn open(&self, intents: &Intents, receipts: &[Receipt]) -> Result<(), LakeError> {
        let files = self.files.iter().map(|file| file.planned.clone()).collect();
        let Collection { frames, given_up, .. } = &self.collection;
        intents.open(&Intent { roll: &self.name, claims: frames, given_up, files }, receipts).await
    }

    /// Writes every file and gives it its name. Blocks.
    pub(super) fn write(&self, lake: &Lake, mut staging: Staging) -> Result<(), LakeError> {
        for (number, file) in self.files.iter().enumerate() {
            let hidden = number.to_string();
            let created = staging.create(&hidden)?;
            fail_point!("file_created");
            let batches = &self.collection.groups[file.group].batches;
            let written = parquet::write(created, file.planned.key.dataset, batches, &file.order);
            let written = written.map_err(|source| lake.unwritten(&file.planned.path, source))?;
            staging.publish(&hidden, &written, &file.planned.path)?;
            // Its size is only for people to see.
            let bytes = written.metadata().map_or(0, |file| file.len());
            let rows = file.order.iter().map(|stretch| stretch.rows as usize).sum();
            lake.meters().published(file.planned.key.dataset, rows, bytes);
        }
        staging.sync()
    }

    /// Finishes the intent and settles the frames.
    pub(super) async fn settle(
        &self,
        intents: &Intents,
        receipts: &[Receipt],
        counts: Counts,
    ) -> Result<(), LakeError> {
        intents.finish(&self.name, &self.collection.frames, receipts, counts).await
    }

    /// Gives up this roll: returns the collection without the rows that are in the lake already.
    pub(super) async fn give_up(
        self: &Arc<Self>,
        lake: &Lake,
        intents: &Intents,
    ) -> Result<Collection, LakeError> {
        let paths = self.files.iter().map(|file| file.planned.path.clone()).collect();
        let there = resolve(lake, intents, Interrupted { roll: self.name.clone(), paths }).await?;
        let written: Vec<_> = self
            .files
            .iter()
            .filter(|file| there.contains(&file.planned.path))
            .map(|file| (file.planned.key, file.planned.partition))
            .collect();
        let roll = Arc::clone(self);
        let left = spawn_blocking(move || {
            let mut left = roll.collection.without(&written)?;
            left.given_up.push(GivenUp { roll: roll.name.clone(), wrote: !written.is_empty() });
            Ok::<_, FrameError>(left)
        });
        Ok(left.await??)
    }
}

/// Closes an interrupted roll: afterwards its files are those returned, and no other ever.
pub(super) async fn resolve(
    lake: &Lake,
    intents: &Intents,
    interrupted: Interrupted,
) -> Result<Vec<String>, LakeError> {
    let (lake, fenced) = (lake.clone(), interrupted.clone());
    let there = spawn_blocking(move || {
        let Interrupted { roll, paths } = fenced;
        let there = lake.decide(&roll, paths)?;
        fail_point!("fence_after");
        Ok::<_, LakeError>(there)
    });
    intents.resolve(&interrupted, there.await??).await
}

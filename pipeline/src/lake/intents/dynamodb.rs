//! Intents in the table of the state.
//!
//! | `pk` | `sk` | holds |
//! |---|---|---|
//! | `rolls` | the roll | `status`, its files, which of them are `there` once it is resolved |
//! | `frame#ID` | `frame` | `rolls`, those that have the frame, in order |
//!
//! A roll is put as *claiming*, then takes its frames, each on condition that nobody took it since it was looked at, then is
//! *open*, and from then on files are written; it ends as *done*, or as *resolved* by somebody who was handed one of its frames.
//! One that is claiming has written nothing, so it is resolved by a word. Each of these steps has a condition on the one
//! before, so of two who want to close a roll one learns what the other has made of it.

use std::collections::{BTreeSet, HashMap};

use stages::{frame::FrameId, plan::Counts, store};

use super::{Claim, GroupKey, Intent, Interrupted, Looked, Named, Past, TableIntents};
use crate::{
    error::Class,
    failpoint::fail_point,
    queue::{QueueError, QueueName, Receipt, Verdict},
    state::dynamodb::{
        ACTIONS_MAX, Action, Change, Item, Key, TableError, Value, binary, numeric, text, text_of, texts_of,
    },
};

mod record;

use self::record::{CLAIMING, DONE, OPEN, RESOLVED, Record, frame_key, roll_key};

/// A roll outlives its frames: whoever finds a frame finds what became of it.
const ROLLS_LONGER_SECS: u64 = 7 * 24 * 3600;
/// How often frames are claimed anew after an answer was lost.
const CLAIMS: u32 = 4;

impl TableIntents {
    pub(super) async fn look(&self, frames: &[(FrameId, GroupKey)]) -> Result<Looked, QueueError> {
        let keys: BTreeSet<_> = frames.iter().map(|(frame, _)| *frame).collect();
        let keys: Vec<_> = keys.into_iter().map(frame_key).collect();
        loop {
            let claimed = self.table.get_all(&keys).await?;
            let rolls: BTreeSet<_> = claimed.values().flat_map(rolls_of).collect();
            let records = self.records(rolls).await?;
            let unfinished = |status| records.iter().find(move |(_, record)| record.status == status);
            if let Some((roll, record)) = unfinished(OPEN) {
                let paths = record.files.iter().map(|file| file.path.clone()).collect();
                return Ok(Looked::Interrupted(Interrupted { roll: roll.clone(), paths }));
            }
            let claiming: Vec<_> = records.iter().filter(|(_, record)| record.status == CLAIMING).collect();
            if claiming.is_empty() {
                let past = |(frame, key): &(FrameId, GroupKey)| {
                    let rolls = claimed.get(&frame_key(*frame)).map(rolls_of).unwrap_or_default();
                    past(rolls, *key, &records)
                };
                return Ok(Looked::Past(frames.iter().map(past).collect()));
            }
            for (roll, _) in claiming {
                // Whether by this or by its own worker, afterwards it is something else.
                self.table.change(self.resolved(roll, &[]).when_equals("status", text(CLAIMING))).await?;
            }
        }
    }

    async fn records(&self, rolls: BTreeSet<String>) -> Result<HashMap<String, Record>, TableError> {
        let keys: Vec<_> = rolls.iter().map(|roll| roll_key(roll)).collect();
        let mut records = HashMap::new();
        for (key, item) in self.table.get_all(&keys).await? {
            // Its pieces are gone only if it is something else by now, or its time was over.
            if let Some(record) = Record::read(&self.table, &key.sk, &item).await? {
                records.insert(key.sk, record);
            }
        }
        Ok(records)
    }

    /// Nobody is asked for the leases, which could end right after: who has a frame is who claims it.
    pub(super) async fn open(&self, intent: &Intent<'_>) -> Result<(), QueueError> {
        self.put(intent).await?;
        fail_point!("claim_before");
        for claims in intent.claims.chunks(ACTIONS_MAX) {
            self.claim(intent, claims).await?;
        }
        fail_point!("claim_after");
        let key = roll_key(intent.roll);
        let open = Change::of(key.clone()).set("status", text(OPEN)).when_equals("status", text(CLAIMING));
        if self.table.change(open).await?.is_some() || self.status(&key).await?.as_deref() == Some(OPEN) {
            return Ok(());
        }
        Err(lost_of(intent.claims))
    }

    /// Puts the roll, which claims frames from here on.
    async fn put(&self, intent: &Intent<'_>) -> Result<(), QueueError> {
        let (key, writer) = (roll_key(intent.roll), self.table.write_name());
        let mut item = key.item();
        item.insert("status".to_owned(), text(CLAIMING));
        item.insert("writer".to_owned(), text(&writer));
        item.insert("expires_at".to_owned(), numeric(self.expires_at()));
        let (pk, name) = (record::pieces(intent.roll), writer.clone());
        let value = Value { pk: &pk, name, expires_at: Some(self.expires_at()) };
        self.table.keep(&mut item, value, &record::encode(&intent.files)).await?;
        if self.table.change(Change::new_item(item)).await?.is_some() {
            return Ok(());
        }
        let found = self.table.get(&key).await?;
        if found.is_some_and(|found| text_of(&found, "writer") == Some(&writer)) {
            return Ok(());
        }
        Err(self.table.busy("open a roll", "there is one of this name").into())
    }

    /// Takes frames for a roll, all or none.
    async fn claim(&self, intent: &Intent<'_>, claims: &[Claim]) -> Result<(), QueueError> {
        let mut left: Vec<_> = claims.iter().map(|claim| (claim.frame, claim.rolls.clone())).collect();
        for tries in 0..CLAIMS {
            // Where rolls were given up it is not known which frames they had taken.
            if tries > 0 || !intent.given_up.is_empty() {
                left = self.unclaimed(intent, claims).await?;
            }
            if left.is_empty() || self.try_claim(intent, &left).await? {
                return Ok(());
            }
        }
        Err(self.table.busy("claim frames", "they change again and again").into())
    }

    async fn try_claim(
        &self,
        intent: &Intent<'_>,
        frames: &[(FrameId, Vec<String>)],
    ) -> Result<bool, TableError> {
        let wrote_nothing = |roll: &String| intent.given_up.iter().any(|own| own.roll == *roll && !own.wrote);
        let claims = frames.iter().map(|(frame, before)| {
            let mut after: Vec<_> = before.iter().filter(|roll| !wrote_nothing(roll)).cloned().collect();
            after.push(intent.roll.to_owned());
            let claim = Change::of(frame_key(*frame)).exchange("rolls", before, &after);
            Action::Change(claim.set("expires_at", numeric(self.table.expires_at())))
        });
        self.table.transact(&self.table.write_name(), claims.collect()).await
    }

    /// Those of the frames that are still to be claimed, with the rolls that have them now; lost, if any is another worker's.
    async fn unclaimed(
        &self,
        intent: &Intent<'_>,
        claims: &[Claim],
    ) -> Result<Vec<(FrameId, Vec<String>)>, QueueError> {
        let keys: Vec<_> = claims.iter().map(|claim| frame_key(claim.frame)).collect();
        let found = self.table.get_all(&keys).await?;
        let mut left = Vec::new();
        for (claim, key) in claims.iter().zip(&keys) {
            let rolls = found.get(key).map(rolls_of).unwrap_or_default();
            if rolls.last().is_some_and(|last| last == intent.roll) {
                continue;
            }
            let is_own = |roll: &String| intent.given_up.iter().any(|own| own.roll == *roll);
            if !rolls.strip_prefix(&claim.rolls[..]).is_some_and(|since| since.iter().all(is_own)) {
                return Err(lost(claim.frame));
            }
            left.push((claim.frame, rolls));
        }
        Ok(left)
    }

    pub(super) async fn finish(
        &self,
        roll: &str,
        receipts: &[Receipt],
        counts: Counts,
    ) -> Result<(), QueueError> {
        let key = roll_key(roll);
        // Nobody asks for its files any more.
        let done = ["bytes", "sum", "part", "parts"].into_iter().fold(
            Change::of(key.clone())
                .set("status", text(DONE))
                .set("expires_at", numeric(self.expires_at()))
                .when_equals("status", text(OPEN)),
            Change::remove,
        );
        let counted = self.table.count(store::STAGE, &counts);
        let writes = [Some(done), counted].into_iter().flatten().map(Action::Change).collect();
        let finished = self.table.transact(&self.table.write_name(), writes).await;
        // An answer may be lost on its way, but what is counted must not be counted again.
        if !matches!(finished, Ok(true)) && self.status(&key).await?.as_deref() != Some(DONE) {
            finished?;
            let Some(first) = receipts.first() else { return Ok(()) };
            return Err(lost(first.frame()));
        }
        fail_point!("roll_done");
        let done = receipts.iter().map(|receipt| (receipt.clone(), Verdict::Done)).collect();
        for answer in self.queues.settle(done).await {
            // What cannot be settled comes again, and is found to be finished.
            answer.or_else(|error| if error.class() == Class::Fatal { Err(error) } else { Ok(()) })?;
        }
        Ok(())
    }

    pub(super) async fn resolve(
        &self,
        interrupted: &Interrupted,
        there: Vec<String>,
    ) -> Result<Vec<String>, QueueError> {
        let Interrupted { roll, paths } = interrupted;
        let flags: Vec<u8> = paths.iter().map(|path| u8::from(there.contains(path))).collect();
        let resolved = self.resolved(roll, &flags).when_one_of("status", &[CLAIMING, OPEN]);
        if self.table.change(resolved).await?.is_some() {
            return Ok(there);
        }
        let Some(item) = self.table.get(&roll_key(roll)).await? else {
            // It was never opened, so there is nothing of it.
            return Ok(there);
        };
        if text_of(&item, "status") == Some(DONE) {
            return Ok(paths.clone());
        }
        let record = Record::read(&self.table, roll, &item).await?;
        let record = record.ok_or_else(|| self.table.damaged(roll_key(roll), "the files"))?;
        Ok(record.there().map(|file| file.path.clone()).collect())
    }

    pub(super) async fn all(&self) -> Result<Named, QueueError> {
        let mut named = Named::default();
        for item in self.table.range(record::ROLLS, ("0", "~"), &[]).await? {
            // What became of one that is closed is here, and nobody looks for it in the lake again.
            let is_closed = matches!(text_of(&item, "status"), Some(DONE | RESOLVED));
            let Some(roll) = text_of(&item, "sk").filter(|_| !is_closed) else { continue };
            if let Some(record) = Record::read(&self.table, roll, &item).await? {
                named.paths.extend(record.files.into_iter().map(|file| file.path));
                named.rolls.insert(roll.to_owned());
            }
        }
        Ok(named)
    }

    /// A roll that is closed, with a flag for each file.
    fn resolved(&self, roll: &str, flags: &[u8]) -> Change {
        Change::of(roll_key(roll))
            .set("status", text(RESOLVED))
            .set("there", binary(flags))
            .set("expires_at", numeric(self.expires_at()))
    }

    async fn status(&self, key: &Key) -> Result<Option<String>, TableError> {
        Ok(self.table.get(key).await?.and_then(|item| text_of(&item, "status").map(str::to_owned)))
    }

    fn expires_at(&self) -> u64 {
        self.table.expires_at().saturating_add(ROLLS_LONGER_SECS)
    }
}

/// What the rolls that had a frame have made of it. Those that are gone are so old that the frame cannot come again.
fn past(rolls: Vec<String>, key: GroupKey, records: &HashMap<String, Record>) -> Past {
    let known = || rolls.iter().filter_map(|roll| records.get(roll));
    let finished = known().any(|record| record.status == DONE);
    let group = key.to_string();
    let of_group = known().flat_map(Record::there).filter(|file| file.rows_of == group);
    let written = of_group.map(|file| file.partition()).collect();
    Past { written, rolls, finished }
}

fn rolls_of(item: &Item) -> Vec<String> {
    texts_of(item, "rolls").unwrap_or_default()
}

fn lost_of(claims: &[Claim]) -> QueueError {
    lost(claims.first().map_or(FrameId([0; 16]), |claim| claim.frame))
}

fn lost(frame: FrameId) -> QueueError {
    QueueError::Lost { queue: QueueName::Store, frame }
}

//! Changes of lanes, each in one transaction.

use std::collections::BTreeMap;

use stages::{
    frame::{FrameId, Lane},
    plan::Counts,
};
use tracing::debug;

use super::{
    Action, Change, Item, Key, Outbox, Table, TableError, Value, action::Check, binary, number_of, numeric,
    text, text_of,
};
use crate::{
    failpoint::fail_point,
    queue::{NumberedDelta, QueueError},
    state::APPLIED_MAX,
};

/// What is to become of one lane of a stage.
struct LaneChange {
    stage: &'static str,
    lane: Lane,
    /// The number that must be the last one, and the one that is it afterwards.
    before: u64,
    number: u64,
    snapshot: Option<Changed>,
    deltas: Vec<(u64, Vec<u8>)>,
    /// Frames that the deltas deal with.
    applied: Vec<FrameId>,
}

/// A whole state.
struct Changed {
    number: u64,
    bytes: Vec<u8>,
    applied: Vec<FrameId>,
}

impl Table {
    /// Adds changes, of one lane of each stage that is named, and counts: all or nothing. Where nothing changes a delta only
    /// says which number must still be the last.
    ///
    /// # Errors
    /// [`QueueError::Fenced`] when the state has moved on; when the table cannot be written. Where its answer is lost, the
    /// change may have been made: load the state anew.
    pub async fn append(
        &self,
        deltas: Vec<NumberedDelta>,
        counts: Vec<(&'static str, Counts)>,
    ) -> Result<(), QueueError> {
        self.append_with(deltas, counts, None).await
    }

    /// The same, with what the changes led to.
    ///
    /// # Errors
    /// Those given there, and [`QueueError::Applied`] when the `outbox` has a frame that was applied before.
    pub async fn append_with(
        &self,
        deltas: Vec<NumberedDelta>,
        counts: Vec<(&'static str, Counts)>,
        outbox: Option<Outbox>,
    ) -> Result<(), QueueError> {
        let write = self.write_name();
        let mut by_stage = BTreeMap::new();
        for (stage, counts) in &counts {
            *by_stage.entry(*stage).or_insert_with(Counts::default) += *counts;
        }
        let lanes = by_lane(deltas)?;
        let mut actions = Vec::new();
        for lane in &lanes {
            if lane.changes() {
                let counts = by_stage.remove(lane.stage).unwrap_or_default();
                actions.extend(self.changes(lane, &write, &counts).await?);
            } else {
                actions.push(Action::Check(lane.check()));
            }
        }
        let counted = by_stage.iter().filter_map(|(stage, counts)| self.count(stage, counts));
        actions.extend(counted.map(Action::Change));
        if let Some(outbox) = &outbox {
            actions.extend(self.outbox_actions(outbox, &write).await?);
        }
        if !actions.is_empty() && !self.transact(&write, actions).await? {
            let saved = match &outbox {
                Some(outbox) => self.is_saved(outbox, &write).await?,
                None => false,
            };
            if !saved {
                self.tell_fence(&lanes, &write).await?;
            }
        }
        for lane in &lanes {
            if let Some(Changed { number, .. }) = lane.snapshot {
                self.clean(lane, number).await;
            }
        }
        Ok(())
    }

    /// The writes of a change, once all that the head will point to is there.
    async fn changes(
        &self,
        lane: &LaneChange,
        write: &str,
        counts: &Counts,
    ) -> Result<Vec<Action>, TableError> {
        let LaneChange { stage, lane: of, before, number, .. } = *lane;
        let pk = Key::head(stage, of).pk;
        let mut actions = Vec::new();
        let mut head = Change::of(Key::head(stage, of))
            .set("number", numeric(number))
            .set("writer", text(write))
            .count(counts);
        head = if before == 0 { head.when_absent("pk") } else { head.when_equals("number", numeric(before)) };
        if let Some(snapshot) = &lane.snapshot {
            let sk = format!("snapshot#{:020}#{write}", snapshot.number);
            let mut item = Key::new(&pk, &sk).item();
            let name = format!("{:020}#{write}#s", snapshot.number);
            let value = Value { pk: &pk, name, expires_at: None };
            self.keep(&mut item, value, &snapshot.bytes).await?;
            put_applied(&mut item, &snapshot.applied);
            self.put(item).await?;
            fail_point!("table_snapshot");
            head = head.set("snapshot", text(sk)).set("snapshot_number", numeric(snapshot.number));
        }
        if let Some((first, _)) = lane.deltas.first() {
            let mut item = Key::delta(stage, of, number).item();
            let bytes: Vec<u8> = lane.deltas.iter().flat_map(|(_, bytes)| bytes).copied().collect();
            let lengths = lane.deltas.iter().map(|(_, bytes)| u32::try_from(bytes.len()).unwrap_or(u32::MAX));
            item.insert("first".to_owned(), numeric(first));
            item.insert("lengths".to_owned(), binary(lengths.flat_map(u32::to_le_bytes).collect::<Vec<_>>()));
            let value = Value { pk: &pk, name: format!("{number:020}#{write}#d"), expires_at: None };
            self.keep(&mut item, value, &bytes).await?;
            put_applied(&mut item, &lane.applied);
            actions.push(Action::Put(item));
        }
        actions.push(Action::Change(head));
        Ok(actions)
    }

    /// Why a change was not taken; none if it was, though an earlier answer did not come through.
    async fn tell_fence(&self, lanes: &[LaneChange], write: &str) -> Result<(), QueueError> {
        let heads = self.get_all(&lanes.iter().map(LaneChange::head).collect::<Vec<_>>()).await?;
        for lane in lanes {
            let head = heads.get(&lane.head());
            let last = head.and_then(|head| number_of(head, "number")).unwrap_or_default();
            let ours = head.and_then(|head| text_of(head, "writer")) == Some(write);
            if ours && lane.changes() && last == lane.number {
                return Ok(());
            }
            if last != lane.before {
                let LaneChange { stage, lane, number, .. } = *lane;
                return Err(QueueError::Fenced { stage, lane, number, last });
            }
        }
        Err(self.busy("write", "a condition did not hold, and does now").into())
    }

    /// Removes what a snapshot stands for. What stays for now goes with the next one, since nobody looks at it.
    async fn clean(&self, lane: &LaneChange, number: u64) {
        let pk = lane.head().pk;
        let mut old = Vec::new();
        for (kind, until) in [("delta", number), ("part", number - 1), ("snapshot", number - 1)] {
            let range = (format!("{kind}#"), format!("{kind}#{until:020}~"));
            match self.range(&pk, (&range.0, &range.1), &["pk", "sk"]).await {
                Ok(items) => old.extend(items.iter().filter_map(Key::of)),
                Err(error) => return debug!(%error, "old state stays for now"),
            }
        }
        if let Err(error) = self.delete_all(&old).await {
            debug!(%error, "old state stays for now");
        }
        #[cfg(feature = "object-store")]
        if let Err(error) = self.delete_objects(&lane.head(), number).await {
            debug!(%error, "old state stays for now");
        }
    }
}

impl LaneChange {
    fn head(&self) -> Key {
        Key::head(self.stage, self.lane)
    }

    fn changes(&self) -> bool {
        self.number != self.before
    }

    /// That the last number is still the last.
    fn check(&self) -> Check {
        match self.before {
            0 => Check::absent(self.head()),
            before => Check::equals(self.head(), "number", numeric(before)),
        }
    }

    /// Takes the next change of its lane.
    fn take(&mut self, delta: NumberedDelta) -> Result<(), QueueError> {
        let NumberedDelta { stage, lane, number, bytes, snapshot, applied } = delta;
        let nothing = bytes.is_empty() && snapshot.is_none() && applied.is_empty();
        let follows = if nothing { self.number } else { self.number + 1 };
        if number != follows {
            return Err(QueueError::Fenced { stage, lane, number, last: self.number });
        }
        self.number = number;
        if let Some(bytes) = snapshot {
            // It holds all changes so far.
            (self.deltas, self.applied) = (Vec::new(), Vec::new());
            self.snapshot = Some(Changed { number, bytes, applied });
        } else if !nothing {
            self.deltas.push((number, bytes));
            self.applied.extend(applied);
        }
        Ok(())
    }
}

/// Changes by stage and lane.
fn by_lane(deltas: Vec<NumberedDelta>) -> Result<Vec<LaneChange>, QueueError> {
    let mut lanes: Vec<LaneChange> = Vec::new();
    for delta in deltas {
        let (stage, lane, number) = (delta.stage, delta.lane, delta.number);
        let at = lanes.iter().position(|known| known.stage == stage && known.lane == lane);
        let at = at.unwrap_or_else(|| {
            let nothing = delta.bytes.is_empty() && delta.snapshot.is_none() && delta.applied.is_empty();
            let before = if nothing { number } else { number.saturating_sub(1) };
            let (snapshot, deltas, applied) = (None, Vec::new(), Vec::new());
            lanes.push(LaneChange { stage, lane, before, number: before, snapshot, deltas, applied });
            lanes.len() - 1
        });
        lanes[at].take(delta)?;
    }
    Ok(lanes)
}

fn put_applied(item: &mut Item, applied: &[FrameId]) {
    let newest = &applied[applied.len().saturating_sub(APPLIED_MAX)..];
    let bytes: Vec<u8> = newest.iter().flat_map(|id| id.0).collect();
    if !bytes.is_empty() {
        item.insert("applied".to_owned(), binary(bytes));
    }
}

impl Key {
    /// The head of a lane.
    pub(super) fn head(stage: &str, lane: Lane) -> Self {
        Self::new(format!("state#{stage}#{lane}"), "head")
    }

    /// The changes of a lane up to the last of a commit.
    pub(super) fn delta(stage: &str, lane: Lane, number: u64) -> Self {
        Self::new(Self::head(stage, lane).pk, format!("delta#{number:020}"))
    }
}

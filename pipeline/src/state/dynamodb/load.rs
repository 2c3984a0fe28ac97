//! What a lane's state is, or what is new in it.

use stages::frame::{FrameId, Lane};

use super::{Item, Key, Table, TableError, bytes_of, number_of, text_of};
use crate::state::{APPLIED_MAX, Loaded};

/// Who replaces deltas by a snapshot deletes them under the eyes of who reads: so often that is looked at anew.
const TRIES: usize = 10;

impl Table {
    /// See [`StateStore::load`](crate::state::StateStore::load).
    ///
    /// # Errors
    /// When the table cannot be read, or something is missing in it.
    pub async fn load(&self, stage: &str, lane: Lane, since: Option<u64>) -> Result<Loaded, TableError> {
        for _ in 0..TRIES {
            if let Some(loaded) = self.try_load(stage, lane, since).await? {
                return Ok(loaded);
            }
        }
        Err(self.damaged(Key::head(stage, lane), "the changes"))
    }

    /// See [`StateStore::number`](crate::state::StateStore::number).
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn number(&self, stage: &str, lane: Lane) -> Result<u64, TableError> {
        let key = Key::head(stage, lane);
        let Some(head) = self.get(&key).await? else { return Ok(0) };
        number_of(&head, "number").ok_or_else(|| self.damaged(key, "the number"))
    }

    /// None when what the head says is not there any more.
    async fn try_load(
        &self,
        stage: &str,
        lane: Lane,
        since: Option<u64>,
    ) -> Result<Option<Loaded>, TableError> {
        let key = Key::head(stage, lane);
        let Some(head) = self.get(&key).await? else { return Ok(Some(Loaded::default())) };
        let number: u64 = number_of(&head, "number").ok_or_else(|| self.damaged(&key, "the number"))?;
        let mut loaded = Loaded { number, ..Loaded::default() };
        let mut after = since.unwrap_or_default();
        let snapshot = number_of::<u64>(&head, "snapshot_number").zip(text_of(&head, "snapshot"));
        // Deltas up to the snapshot are gone: whoever stands before it needs it.
        if let Some((of, sk)) = snapshot.filter(|(of, _)| since.is_none_or(|since| since < *of)) {
            let Some(item) = self.get(&Key::new(&key.pk, sk)).await? else { return Ok(None) };
            let Some(bytes) = self.kept(&key.pk, &item).await? else { return Ok(None) };
            loaded.applied.extend(applied_of(&item));
            loaded.snapshot = Some((of, bytes));
            after = of;
        }
        if after >= number {
            return Ok(Some(loaded));
        }
        let range = (Key::delta(stage, lane, after + 1).sk, Key::delta(stage, lane, number).sk);
        for item in self.range(&key.pk, (&range.0, &range.1), &[]).await? {
            if !self.add_deltas(&key.pk, &item, &mut after, &mut loaded).await? {
                return Ok(None);
            }
        }
        let more = loaded.applied.len().saturating_sub(APPLIED_MAX);
        loaded.applied.drain(..more);
        Ok((after == number).then_some(loaded))
    }

    /// Adds the changes of one item that come after `after`; false when there is a gap before them.
    async fn add_deltas(
        &self,
        pk: &str,
        item: &Item,
        after: &mut u64,
        loaded: &mut Loaded,
    ) -> Result<bool, TableError> {
        let Some(bytes) = self.kept(pk, item).await? else { return Ok(false) };
        let lengths = bytes_of(item, "lengths").unwrap_or_default();
        let lengths = lengths.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes) as usize);
        let Some(first) = number_of::<u64>(item, "first").filter(|first| *first <= *after + 1) else {
            return Ok(false);
        };
        let mut rest = &bytes[..];
        for (number, length) in (first..).zip(lengths) {
            let damaged = || self.damaged(Key::new(pk, format!("delta#{number}")), "the length");
            let (delta, others) = rest.split_at_checked(length).ok_or_else(damaged)?;
            rest = others;
            if number > *after {
                loaded.deltas.push((number, delta.to_vec()));
                *after = number;
            }
        }
        loaded.applied.extend(applied_of(item));
        Ok(true)
    }
}

fn applied_of(item: &Item) -> impl Iterator<Item = FrameId> {
    let ids = bytes_of(item, "applied").unwrap_or_default();
    ids.as_chunks().0.iter().map(|id| FrameId(*id))
}

//! What frames led to, saved with the change of state that they made, until their queue can hold none of them any more.
//!
//! Where a lane is in several hands at once, what is sent must follow from the one change that was taken. So that is saved
//! first, with all that is to be sent, and whoever is handed one of its frames afterwards sends the same. The item of a frame is
//! also the proof that it was applied: it is written only where there is none, or nothing of the commit is.

use stages::frame::FrameId;

use super::{Action, Change, Key, Table, TableError, Value, numeric, text, text_of};
use crate::queue::{QueueError, QueueName};

/// As much is written in the transaction itself. That costs twice as much as writing it before, which is one request more.
const WITHIN_BYTES_MAX: usize = 4 << 10;
/// The attribute that names the frame of the same commit whose item has the bytes.
const WITH: &str = "with";

/// What the frames of one commit led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outbox {
    /// Where the frames came from.
    pub queue: QueueName,
    /// All that the commit applies, each once, at most as many as one request to SQS hands out.
    pub frames: Vec<FrameId>,
    /// What is to be sent, as whoever sends it writes and reads it.
    pub bytes: Vec<u8>,
}

impl Outbox {
    pub(super) fn keys(&self) -> Vec<Key> {
        self.frames.iter().map(|frame| Key::outbox(self.queue, *frame)).collect()
    }
}

impl Table {
    /// What `frame` of `queue` led to, with the others of its commit; none where it was not applied, or is forgotten.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn outbox(&self, queue: QueueName, frame: FrameId) -> Result<Option<Vec<u8>>, TableError> {
        let mut key = Key::outbox(queue, frame);
        let Some(mut item) = self.get(&key).await? else { return Ok(None) };
        if let Some(with) = text_of(&item, WITH) {
            let with = with.parse().map_err(|_| self.damaged(&key, "the frame that it came with"))?;
            key = Key::outbox(queue, with);
            let Some(other) = self.get(&key).await? else { return Ok(None) };
            item = other;
        }
        self.kept(&key.pk, &item).await
    }

    /// The writes of an outbox, once all that they point to is there.
    pub(super) async fn outbox_actions(
        &self,
        outbox: &Outbox,
        write: &str,
    ) -> Result<Vec<Action>, TableError> {
        let (keys, expires_at) = (outbox.keys(), self.expires_at());
        let mut actions = Vec::with_capacity(keys.len());
        for (at, key) in keys.iter().enumerate() {
            let mut item = key.item();
            item.insert("writer".to_owned(), text(write));
            item.insert("expires_at".to_owned(), numeric(expires_at));
            if at == 0 {
                let value = Value { pk: &key.pk, name: write.to_owned(), expires_at: Some(expires_at) };
                if outbox.bytes.len() <= WITHIN_BYTES_MAX {
                    self.keep(&mut item, value, &outbox.bytes).await?;
                } else {
                    self.keep_apart(&mut item, value, &outbox.bytes).await?;
                }
            } else {
                item.insert(WITH.to_owned(), text(outbox.frames[0].to_string()));
            }
            actions.push(Action::Change(Change::new_item(item)));
        }
        Ok(actions)
    }

    /// Whether `write` wrote this outbox.
    ///
    /// # Errors
    /// [`QueueError::Applied`] when another write applied one of its frames; when the table cannot be read.
    pub(super) async fn is_saved(&self, outbox: &Outbox, write: &str) -> Result<bool, QueueError> {
        let found = self.get_all(&outbox.keys()).await?;
        let mut ours = false;
        for (key, frame) in outbox.keys().iter().zip(&outbox.frames) {
            let Some(item) = found.get(key) else { continue };
            if text_of(item, "writer") != Some(write) {
                return Err(QueueError::Applied { frame: *frame });
            }
            ours = true;
        }
        Ok(ours)
    }
}

impl Key {
    fn outbox(queue: QueueName, frame: FrameId) -> Self {
        Self::new(format!("outbox#{queue}#{frame}"), "outbox")
    }
}

//! Frames as store takes them from its queue.

use stages::{
    frame::Frame,
    store::{self, Dataset},
};

use super::GroupKey;
use crate::queue::{Delivery, Receipt};

/// A frame that store holds.
pub(super) struct Held {
    pub(super) receipt: Receipt,
    pub(super) frame: Frame,
    pub(super) key: GroupKey,
}

/// The frames of the deliveries, and those that store cannot read, each with the reason.
pub(super) fn decode(deliveries: Vec<Delivery>) -> (Vec<Held>, Vec<(Receipt, String)>) {
    let (mut frames, mut refused) = (Vec::new(), Vec::new());
    for Delivery { receipt, frame, .. } in deliveries {
        match frame.bytes.frame() {
            Ok(frame) => match Dataset::of(frame.header.kind) {
                Some(dataset) => match store::check(dataset, &frame.rows) {
                    Ok(()) => {
                        let key = GroupKey::of(dataset, &frame.rows);
                        frames.push(Held { receipt, frame, key });
                    }
                    Err(error) => refused.push((receipt, error.to_string())),
                },
                None => refused.push((receipt, format!("store keeps no {} frames", frame.header.kind))),
            },
            Err(error) => refused.push((receipt, error.to_string())),
        }
    }
    (frames, refused)
}

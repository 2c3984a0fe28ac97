//! Whether this process itself ends a lease: such a one is not lost.

use std::{
    hash::{Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use super::Receipt;

const HELD: u8 = 0;
/// It is being settled: nobody knows whether it is yet.
const SETTLING: u8 = 1;
const SETTLED: u8 = 2;

/// What this process does with a lease; clones of a receipt share it, and it tells no receipt from another.
#[derive(Debug, Clone, Default)]
pub(super) struct Mark(Arc<AtomicU8>);

impl PartialEq for Mark {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Mark {}

impl Hash for Mark {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Receipt {
    /// Whether its delivery is settled, or not this process's to settle any more.
    pub(crate) fn is_settled(&self) -> bool {
        self.mark.0.load(Ordering::Relaxed) == SETTLED
    }

    /// Whether it is being settled, or is settled: if its lease cannot be extended now, that does not say that it was lost.
    pub(crate) fn is_ending(&self) -> bool {
        self.mark.0.load(Ordering::Relaxed) != HELD
    }

    /// The engine gave the delivery back together with another.
    pub(crate) fn let_go(&self) {
        self.mark(SETTLED);
    }

    fn mark(&self, mark: u8) {
        self.mark.0.store(mark, Ordering::Relaxed);
    }
}

/// Receipts that are being settled.
pub(crate) struct Ending(Vec<Receipt>);

impl Ending {
    pub(crate) fn of<'a>(receipts: impl IntoIterator<Item = &'a Receipt>) -> Self {
        let receipts: Vec<Receipt> = receipts.into_iter().cloned().collect();
        receipts.iter().for_each(|receipt| receipt.mark(SETTLING));
        Self(receipts)
    }

    /// What became of each.
    pub(crate) fn answered<E>(self, answers: &[Result<(), E>]) {
        for (receipt, answer) in self.0.iter().zip(answers) {
            receipt.mark(if answer.is_ok() { SETTLED } else { HELD });
        }
    }

    /// What became of all.
    pub(crate) fn ended<T, E>(self, answer: &Result<T, E>) {
        let mark = if answer.is_ok() { SETTLED } else { HELD };
        self.0.iter().for_each(|receipt| receipt.mark(mark));
    }
}

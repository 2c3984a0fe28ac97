//! The books that must balance: each row that entered a queue waits, is dead, was dropped, or was taken by its stage;
//! and what stages produced is what entered the queues behind them.

use std::collections::BTreeMap;

use stages::plan::Counts;

use super::{Depth, QueueName};

/// What a queue has seen of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Account {
    /// Rows that were ever published into it.
    pub entered: u64,
    /// Rows of these that are not held against what stages produced: of data files that come from a version that did
    /// not count them.
    pub carried: i64,
    /// Rows that are in it.
    pub waiting: u64,
    /// Rows of its dead letters.
    pub dead: u64,
    /// Rows of dead letters that were dropped.
    pub dropped: u64,
}

/// The books of one stage at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    /// The queue that the stage reads, which has its name.
    pub stage: QueueName,
    /// What its queue has seen.
    pub account: Account,
    /// Rows that the stage took: consumed, quarantined, repeated and filtered.
    pub taken: u64,
    /// Rows that entered less those that stages before it sent there; 0 where that cannot be told.
    pub unsent: i64,
}

/// Everything about the books at one moment.
#[derive(Debug, Clone, Default)]
pub struct Audit {
    /// Each stage that reads a queue, in the order of the way of a reading.
    pub balances: Vec<Balance>,
    /// Where a recount found something else than was counted; empty without a recount.
    pub miscounts: Vec<Miscount>,
}

/// What the queues hold and what became of rows, at one moment.
#[derive(Debug, Clone, Default)]
pub struct Overview {
    /// What each queue holds, in the order of the way of a reading.
    pub depths: Vec<(QueueName, Depth)>,
    /// What became of rows so far, by stage.
    pub books: BTreeMap<String, Counts>,
    /// Whether it all fits, with a recount, if that was asked for.
    pub audit: Option<Audit>,
}

/// What was counted of a queue, and what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Miscount {
    /// Which queue.
    pub queue: QueueName,
    /// Whether it is about its dead letters, not its frames.
    pub dead: bool,
    /// What its counters say.
    pub counted: Holding,
    /// What is there.
    pub found: Holding,
}

/// Frames or dead letters, with what is in them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holding {
    /// How many.
    pub frames: u64,
    /// Their rows.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Balance {
    /// The books of all stages.
    pub fn all(accounts: &[Account; QueueName::ALL.len()], books: &BTreeMap<String, Counts>) -> Vec<Self> {
        let counts = |stage: &str| books.get(stage).copied().unwrap_or_default();
        let balance = |stage: QueueName| {
            let Counts { consumed, quarantined, repeated, filtered, .. } = counts(stage.as_str());
            let taken = consumed + quarantined + repeated + filtered;
            let account = accounts[stage as usize];
            let arrived = match stage {
                // Where readings leave analyze and alert, windows and alerts do, too, and part with them for store.
                QueueName::Store => accounts[QueueName::Alert as usize].entered + account.entered,
                _ => account.entered,
            };
            let sent = sent_to(stage, books);
            let unsent = sent.map_or(0, |sent| difference(arrived, sent) - account.carried);
            Self { stage, account, taken, unsent }
        };
        QueueName::ALL.map(balance).into()
    }

    /// Rows that entered the queue and are nowhere; below zero, rows that are somewhere and never entered.
    pub fn missing(&self) -> i64 {
        let Account { entered, waiting, dead, dropped, .. } = self.account;
        difference(entered, waiting + dead + dropped + self.taken)
    }

    /// By how many rows the books of this stage differ; 0 where they balance.
    pub fn difference(&self) -> i64 {
        if self.missing() == 0 { self.unsent } else { self.missing() }
    }

    /// What is wrong with them, if anything is.
    pub fn mistake(&self) -> Option<String> {
        let stage = self.stage;
        let rows = |count: i64| match count.unsigned_abs() {
            1 => "1 row".to_owned(),
            count => format!("{count} rows"),
        };
        let missing = match self.missing() {
            0 => None,
            count @ 1.. => Some(format!("{stage}: {} that entered its queue cannot be found", rows(count))),
            count => Some(format!("{stage}: {} too many for what entered its queue", rows(count))),
        };
        let before = if stage == QueueName::Store { "it and alert" } else { "its queue" };
        let unsent = match self.unsent {
            0 => None,
            count @ 1.. => Some(format!("{stage}: {} entered {before} that no stage made", rows(count))),
            count => Some(format!("{stage}: {} that stages made did not enter {before}", rows(count))),
        };
        match (missing, unsent) {
            (Some(missing), Some(unsent)) => Some(format!("{missing}; {unsent}")),
            (mistake, None) | (None, mistake) => mistake,
        }
    }
}

impl Audit {
    /// What is wrong with the books; nothing when they balance.
    pub fn mistakes(&self) -> Vec<String> {
        let balances = self.balances.iter().filter_map(Balance::mistake);
        balances.chain(self.miscounts.iter().map(Miscount::mistake)).collect()
    }
}

impl Miscount {
    fn mistake(&self) -> String {
        let Self { queue, dead, counted, found } = self;
        let what = if *dead { "dead letters" } else { "frames" };
        let tell = |Holding { frames, rows, bytes }: &Holding| {
            format!("{frames} {what} with {rows} rows and {bytes} bytes")
        };
        format!("{queue}: its counters tell of {}, there are {}", tell(counted), tell(found))
    }
}

/// The rows that stages before `stage` sent there; none where what is sent on is not all that is produced. Of store these
/// are also the rows that were sent to alert. In the books, `replay` is whoever brings messages back from the quarantine.
fn sent_to(stage: QueueName, books: &BTreeMap<String, Counts>) -> Option<u64> {
    let produced = |stages: &[&str]| {
        stages.iter().filter_map(|stage| books.get(*stage)).map(|counts| counts.produced).sum()
    };
    match stage {
        QueueName::Validate => Some(produced(&["ingest", "replay"])),
        QueueName::Transform => Some(produced(&["validate"])),
        QueueName::Analyze => Some(produced(&["transform"])),
        QueueName::Store => {
            let quarantined: u64 = books.values().map(|counts| counts.quarantined).sum();
            Some(produced(&["analyze", "alert"]) + quarantined)
        }
        // With store; and a webhook is told of what it asks for.
        QueueName::Alert | QueueName::Notify => None,
    }
}

fn difference(left: u64, right: u64) -> i64 {
    left.cast_signed().saturating_sub(right.cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn books(of: &[(&str, Counts)]) -> BTreeMap<String, Counts> {
        of.iter().map(|(stage, counts)| ((*stage).to_owned(), *counts)).collect()
    }

    fn account(entered: u64, waiting: u64) -> Account {
        Account { entered, waiting, ..Account::default() }
    }

    /// Ten messages of which one is refused, one waits and eight lead to two readings and a window each.
    fn balanced() -> ([Account; QueueName::ALL.len()], BTreeMap<String, Counts>) {
        let accounts =
            [account(10, 1), account(8, 0), account(16, 0), account(16, 0), account(25, 25), account(3, 3)];
        let counts = |consumed, produced| Counts { consumed, produced, ..Counts::default() };
        let books = books(&[
            ("ingest", counts(10, 10)),
            ("validate", Counts { quarantined: 1, ..counts(8, 8) }),
            ("transform", counts(8, 16)),
            ("analyze", counts(16, 16 + 8)),
            ("alert", counts(16, 16)),
        ]);
        (accounts, books)
    }

    fn mistakes(change: impl FnOnce(&mut [Account; QueueName::ALL.len()])) -> Vec<String> {
        let (mut accounts, books) = balanced();
        change(&mut accounts);
        Audit { balances: Balance::all(&accounts, &books), ..Audit::default() }.mistakes()
    }

    #[test]
    fn books_that_balance_have_no_mistake() {
        assert_eq!(mistakes(|_| ()), [""; 0]);
    }

    #[test]
    fn a_row_that_is_nowhere_is_told_with_its_stage() {
        assert_eq!(
            mistakes(|accounts| accounts[0].waiting = 0),
            ["validate: 1 row that entered its queue cannot be found"]
        );
        assert_eq!(
            mistakes(|accounts| accounts[5].dead = 2),
            ["notify: 2 rows too many for what entered its queue"]
        );
    }

    #[test]
    fn a_row_that_did_not_come_in_is_told_with_the_stage_that_misses_it() {
        assert_eq!(
            mistakes(|accounts| accounts[4] = account(24, 24)),
            ["store: 1 row that stages made did not enter it and alert"]
        );
        assert_eq!(
            mistakes(|accounts| accounts[0] = account(12, 3)),
            ["validate: 2 rows entered its queue that no stage made"]
        );
    }

    #[test]
    fn what_is_carried_is_not_held_against_stages() {
        assert_eq!(mistakes(|accounts| accounts[0] = Account { carried: 5, ..account(15, 6) }), [""; 0]);
    }
}

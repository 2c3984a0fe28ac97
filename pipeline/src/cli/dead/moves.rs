//! `millstream dead requeue` and `dead drop`.

use std::{
    collections::{BTreeMap, HashSet},
    io::Write,
    process::ExitCode,
};

use anyhow::bail;
use clap::ArgGroup;
use stages::frame::Lane;

use super::{Which, count, each};
use crate::{
    config::Config,
    notify::WebhookConfig,
    process::open_queues,
    queue::{Batch, DeadFilter, Moved, QueueError, QueueName, Queues, Span},
};

/// Puts dead letters back at the end of their queues, to be tried anew.
#[derive(Debug, clap::Args)]
pub(super) struct RequeueArgs {
    #[command(flatten)]
    chosen: Chosen,
}

/// Throws dead letters away: nobody will deal with their rows any more.
#[derive(Debug, clap::Args)]
pub(super) struct DropArgs {
    #[command(flatten)]
    chosen: Chosen,
    /// Throw away all that --all chooses.
    #[arg(long)]
    yes: bool,
}

/// Letters that somebody has to choose.
#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("chosen").required(true).args(["letters", "all"])))]
struct Chosen {
    /// Their numbers.
    #[arg(value_name = "LETTER")]
    letters: Vec<i64>,
    /// All, as far as they fit what else is given.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    which: Which,
}

/// The letters there are of those that were chosen.
struct Found {
    filter: DeadFilter,
    all: bool,
    moved: Moved,
    /// The lanes of webhooks among them, each with its first letter.
    webhooks: BTreeMap<Lane, i64>,
    /// The largest number: what dies anew meanwhile is not chosen.
    last: i64,
}

/// By queue, what was done and what was not.
#[derive(Default)]
struct Sum {
    done: [Moved; QueueName::ALL.len()],
    no_room: [Moved; QueueName::ALL.len()],
}

pub(super) async fn requeue(
    args: RequeueArgs,
    config: &Config,
    out: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    let queues = open_queues(config).await?;
    let found = args.chosen.find(&queues).await?;
    found.check_webhooks(config)?;
    let sum = found.move_all(async |filter, span| queues.requeue(filter, span).await).await?;
    writeln!(out, "requeued {}", tell(&sum.done))?;
    if total(&sum.no_room).letters == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    let left = tell(&sum.no_room);
    bail!(
        "left {left}: there is no room in their queues; requeue them when these have run down, or raise queue_bytes_max"
    )
}

pub(super) async fn drop_dead(
    args: DropArgs,
    config: &Config,
    out: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    let queues = open_queues(config).await?;
    let found = args.chosen.find(&queues).await?;
    if found.all && !args.yes {
        let Moved { letters, rows } = found.moved;
        bail!("this would throw away {}, which cannot be undone: add --yes", count(letters, rows));
    }
    let sum = found.move_all(async |filter, span| queues.drop_dead(filter, span).await).await?;
    writeln!(out, "dropped {}", tell(&sum.done))?;
    Ok(ExitCode::SUCCESS)
}

impl Chosen {
    /// # Errors
    /// When a letter that was named is not there.
    async fn find(self, queues: &Queues) -> anyhow::Result<Found> {
        let mut named: HashSet<i64> = self.letters.iter().copied().collect();
        let filter = self.which.filter(self.letters.clone());
        let (mut moved, mut last, mut webhooks) = (Moved::default(), 0, BTreeMap::new());
        each(queues, &filter, |kept| {
            moved.add(kept.rows);
            last = kept.letter;
            named.remove(&kept.letter);
            if kept.queue == QueueName::Notify {
                webhooks.entry(kept.lane).or_insert(kept.letter);
            }
            Ok(())
        })
        .await?;
        if let Some(letter) = self.letters.iter().find(|letter| named.contains(letter)) {
            bail!(
                "there is no such dead letter {letter}; nothing was done: `millstream dead list --each` tells which there are"
            );
        }
        Ok(Found { filter, all: self.all, moved, webhooks, last })
    }
}

impl Found {
    /// # Errors
    /// When there is an alert for a webhook that is not in the topology: nobody would take it from its lane.
    fn check_webhooks(&self, config: &Config) -> anyhow::Result<()> {
        let known: Vec<Lane> = config.topology().notify.webhooks.iter().map(WebhookConfig::lane).collect();
        let Some((_, letter)) = self.webhooks.iter().find(|(lane, _)| !known.contains(lane)) else {
            return Ok(());
        };
        bail!(
            "dead letter {letter} is an alert for a webhook that this topology does not have, so nobody would take it; \
             nothing was done: name the topology of the running `up` with -c, bring the webhook back under its name, \
             choose other letters with --queue, or drop this one (the alert is in lake/alerts)"
        )
    }

    /// Deals with all of them, batch by batch.
    async fn move_all(
        self,
        mut deal: impl AsyncFnMut(DeadFilter, Span) -> Result<Batch, QueueError>,
    ) -> Result<Sum, QueueError> {
        let (mut sum, mut span) = (Sum::default(), Span { after: 0, up_to: self.last });
        loop {
            let batch = deal(self.filter.clone(), span).await?;
            let Some(last) = batch.last else { return Ok(sum) };
            span.after = last;
            add(&mut sum.done, &batch.done);
            add(&mut sum.no_room, &batch.no_room);
        }
    }
}

fn add(sum: &mut [Moved], more: &[Moved]) {
    for (sum, more) in sum.iter_mut().zip(more) {
        sum.letters += more.letters;
        sum.rows += more.rows;
    }
}

fn total(of: &[Moved]) -> Moved {
    let mut total = [Moved::default()];
    of.iter().for_each(|moved| add(&mut total, &[*moved]));
    total[0]
}

/// `3 dead letters with 9 rows: transform 2, store 1`.
fn tell(of: &[Moved; QueueName::ALL.len()]) -> String {
    let Moved { letters, rows } = total(of);
    let queues = QueueName::ALL.into_iter().zip(of).filter(|(_, moved)| moved.letters > 0);
    let queues: Vec<String> = queues.map(|(queue, moved)| format!("{queue} {}", moved.letters)).collect();
    let by_queue = if queues.is_empty() { String::new() } else { format!(": {}", queues.join(", ")) };
    format!("{}{by_queue}", count(letters, rows))
}

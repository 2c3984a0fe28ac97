//! `millstream quarantine replay`: the way back.

use std::io::{self, Write};

use anyhow::bail;
use serde_json::{Map, Value, json};

use super::{Place, RefusedBy, Rows, messages, reader};
use crate::{
    config::Engine,
    process::{data_file, open_queues},
    quarantine::{Outcome, Replay, ReplayOptions, Replayed, Take},
};

/// Publishes again the refused messages that would pass now, by the config as it is now, each once.
///
/// They keep number, topic, payload and time of receipt. Who runs the stages needs the same config: send it SIGHUP first
/// where schemas or the device table have changed, and restart it where the topology has.
#[derive(Debug, clap::Args)]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    rows: Rows,
    #[command(flatten)]
    by: RefusedBy,
    /// How many messages to replay per second; 0 for as fast as it goes.
    #[arg(long, value_name = "MSGS_PER_SEC", default_value_t = 1000)]
    rate: u64,
    /// How many messages to replay at most.
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u64>,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn replay(args: ReplayArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let config = args.place.load()?;
    let file = data_file(&config);
    if config.topology().queues.engine == Engine::Sqlite && !file.exists() {
        bail!("there are no queues in {}: name the directory of a running `up` with --data", file.display());
    }
    let queues = open_queues(&config).await?;
    let what = (args.rows.filter_by(args.by), Take::All);
    let reader = reader(&config, what, Replayed::of_queues(&queues)).await?;
    let options = ReplayOptions { rate: args.rate, limit: args.limit, dry_run: args.dry_run };
    let mut waits = || {
        // Whoever does not see it waits all the same.
        let _unseen = writeln!(
            io::stderr(),
            "the queue validate is full (queues.queue_bytes_max): it goes on once a process that runs the stages has \
             made room"
        );
    };
    let replay = Replay::new((&queues, config.stages()), config.packer_options(), options, &mut waits);
    let outcome = replay.run(reader).await?;
    if args.place.json {
        writeln!(out, "{}", object(&outcome, args.dry_run))?;
    } else {
        tell(&outcome, args.dry_run, out)?;
    }
    Ok(())
}

fn object(outcome: &Outcome, dry_run: bool) -> Value {
    let refused =
        outcome.refused.iter().map(|((stage, reason), count)| (format!("{stage}: {reason}"), json!(count)));
    json!({
        "dry_run": dry_run,
        "replayed": outcome.replayed,
        "replayed_before": outcome.before,
        "finished": outcome.finished,
        "still_refused": outcome.refused.values().sum::<u64>(),
        "still_refused_by": refused.collect::<Map<_, _>>(),
        "limited": outcome.limited,
    })
}

fn tell(outcome: &Outcome, dry_run: bool, out: &mut impl Write) -> io::Result<()> {
    let Outcome { replayed, finished, before, ref refused, limited } = *outcome;
    if finished > 0 {
        writeln!(out, "{} published that a replay before this one had claimed", messages(finished))?;
    }
    if dry_run {
        writeln!(out, "{} would be replayed", messages(replayed))?;
    } else if replayed > 0 {
        writeln!(
            out,
            "{} replayed: they wait in the queue validate, or are on their way already if the stages run",
            messages(replayed)
        )?;
    } else {
        writeln!(out, "no message replayed")?;
    }
    if before > 0 {
        writeln!(out, "{before} replayed before")?;
    }
    for ((stage, reason), count) in refused {
        writeln!(out, "{count} still refused: {stage}: {reason}")?;
    }
    if limited {
        writeln!(out, "there may be more: --limit ended it")?;
    }
    Ok(())
}

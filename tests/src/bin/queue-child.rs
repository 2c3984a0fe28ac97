//! Works on embedded queues until it is killed, and tells on stdout what it may rely on.
//!
//! `queue-child DIR publish`: a line for each frame that was acknowledged.
//! `queue-child DIR hold`: a line for each frame that it has leased.

use std::{env, io::Write, path::PathBuf, time::Duration};

use anyhow::{Context, bail};
use millstream::{
    database::Database,
    queue::{EncodedFrame, Publish, QueueName, ReceiveLimits, SqliteOptions, SqliteQueues},
};
use stages::frame::{FrameId, Lane};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = env::args().skip(1);
    let directory = PathBuf::from(arguments.next().context("which directory?")?);
    let action = arguments.next().context("publish or hold?")?;
    let queues =
        SqliteQueues::open(Database::open(&directory.join("millstream.db"))?, SqliteOptions::default())
            .await?;
    match action.as_str() {
        "publish" => publish(&queues).await,
        "hold" => hold(&queues).await,
        other => bail!("publish or hold, not {other}"),
    }
}

async fn publish(queues: &SqliteQueues) -> anyhow::Result<()> {
    for number in 1_u32.. {
        let id = FrameId(u128::from(number).to_be_bytes());
        let frame = EncodedFrame { id, lane: Lane(0), rows: number, bytes: vec![7; 1000].into() };
        for answer in queues.publish(vec![Publish { queue: QueueName::Validate, frame }]).await {
            answer?;
        }
        tell(number)?;
    }
    Ok(())
}

async fn hold(queues: &SqliteQueues) -> anyhow::Result<()> {
    let holder = queues.holder();
    loop {
        let limits = ReceiveLimits { frames: 100, bytes: 1 << 30, wait: Duration::from_secs(1) };
        for delivery in queues.receive(QueueName::Transform, holder, limits).await? {
            tell(delivery.frame.rows)?;
        }
    }
}

/// Whole lines at once: whoever reads them counts on what they say.
fn tell(number: u32) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{number}\n").as_bytes())?;
    Ok(out.flush()?)
}

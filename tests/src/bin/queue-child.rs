//! Works on queues until it is killed, and tells on stdout what it may rely on.
//!
//! `queue-child publish DIR`: a line for each frame that was acknowledged.
//! `queue-child hold DIR`: a line for each frame that it has leased.
//! `queue-child publish ENDPOINT PREFIX fifo`: the same on SQS; or `standard`.

use std::{env, io::Write, path::Path, time::Duration};

use anyhow::{Context, bail};
use millstream::{
    aws::{self, AwsOptions},
    database::Database,
    queue::{
        EncodedFrame, Publish, QueueName, Queues, ReceiveLimits, SqliteOptions, SqliteQueues, SqsOptions,
        SqsQueues,
    },
};
use stages::frame::{FrameId, Lane};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = env::args().skip(1);
    let action = arguments.next().context("publish or hold?")?;
    let place = arguments.next().context("which directory or endpoint?")?;
    let queues = match arguments.next() {
        None => {
            let database = Database::open(&Path::new(&place).join("millstream.db"))?;
            Queues::Sqlite(SqliteQueues::open(database, SqliteOptions::default()).await?)
        }
        Some(prefix) => {
            let options = AwsOptions { endpoint: Some(place), ..AwsOptions::default() };
            let client = aws_sdk_sqs::Client::new(&aws::config(&options).await);
            let fifo = arguments.next().context("fifo or standard?")? == "fifo";
            let options = SqsOptions { prefix, fifo, ..SqsOptions::default() };
            Queues::Sqs(SqsQueues::open(client, options).await?)
        }
    };
    match action.as_str() {
        "publish" => publish(&queues).await,
        "hold" => hold(&queues).await,
        other => bail!("publish or hold, not {other}"),
    }
}

async fn publish(queues: &Queues) -> anyhow::Result<()> {
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

async fn hold(queues: &Queues) -> anyhow::Result<()> {
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

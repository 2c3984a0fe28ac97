//! Whether this process does its work.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::timeout;

use super::View;

/// How long the queues may take to answer.
const QUEUES_TIMEOUT: Duration = Duration::from_secs(5);

/// What was looked at, and what is wrong with it if anything is.
pub(super) struct Readiness(Vec<(&'static str, Result<(), String>)>);

pub(super) async fn readiness(view: &View) -> Readiness {
    let mut checks = Vec::new();
    let stopping = *view.stopping.borrow();
    checks.push(("process", if stopping { Err("it is stopping".to_owned()) } else { Ok(()) }));
    let audit = match timeout(QUEUES_TIMEOUT, view.queues.probe()).await {
        Ok(Ok(audit)) => Ok(audit),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", QUEUES_TIMEOUT.as_secs())),
    };
    checks.push(("queues", audit.as_ref().map(drop).map_err(Clone::clone)));
    if let Ok(Some(audit)) = audit {
        let mistakes = audit.mistakes();
        checks.push(("books", if mistakes.is_empty() { Ok(()) } else { Err(mistakes.join("; ")) }));
    }
    if let Some(ingest) = &view.ingest {
        checks.push(("ingest", ingest.serves()));
    }
    if let Some(lake) = &view.lake {
        checks.push(("lake", lake.trouble().map_or(Ok(()), Err)));
    }
    Readiness(checks)
}

impl Readiness {
    pub(super) fn is_ready(&self) -> bool {
        self.0.iter().all(|(_, check)| check.is_ok())
    }

    /// `{"ready": …, "checks": {"queues": "ok", …}}`.
    pub(super) fn json(&self) -> Value {
        let said =
            |check: &Result<(), String>| Value::from(check.as_ref().err().map_or("ok", String::as_str));
        let checks: Map<_, _> =
            self.0.iter().map(|(name, check)| ((*name).to_owned(), said(check))).collect();
        json!({ "ready": self.is_ready(), "checks": checks })
    }
}

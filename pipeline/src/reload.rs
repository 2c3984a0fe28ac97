//! Takes up schemas and the device table anew while the process runs: on SIGHUP, and the table whenever it changes.
//! The topology itself is read once, at the start.
//!
//! Workers go over to a new stage between two runs. Ids of frames hang on what the stage is made of: a frame that is
//! handed out again after a change may lead to rows that are there already, under another id, but none is lost.

use std::{
    convert::Infallible,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use stages::stage::Stage;
use tokio::{
    signal::unix::Signal,
    sync::watch,
    task::{JoinError, spawn_blocking},
    time::{MissedTickBehavior, interval},
};
use tracing::{info, warn};

use crate::{
    config::{ConfigErrors, Files},
    process::Part,
};

/// How often it is looked whether the device table has changed.
const LOOK: Duration = Duration::from_secs(1);

/// What makes the stages of a process anew.
#[derive(Debug)]
pub struct Reload {
    files: Arc<Files>,
    stages: Vec<Reloadable>,
}

/// A stage that workers take from here before each run.
#[derive(Debug)]
struct Reloadable {
    part: Part,
    stage: watch::Sender<Stage>,
}

/// What changed when a stage was made anew.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    Nothing,
    Config { before: u64, now: u64 },
}

impl Reload {
    /// For the stages of a process, of which those that read no files are left alone.
    pub fn new(files: Arc<Files>, stages: impl IntoIterator<Item = (Part, watch::Sender<Stage>)>) -> Self {
        let reloadable = |(part, stage)| Reloadable { part, stage };
        let reads = |part: &Part| matches!(part, Part::Validate | Part::Transform);
        let stages = stages.into_iter().filter(|(part, _)| reads(part)).map(reloadable).collect();
        Self { files, stages }
    }

    /// Reads files again as told by `hangup`, and the device table when it changes, until it is dropped.
    ///
    /// # Errors
    /// Only when reading ends by a bug.
    pub async fn run(&self, mut hangup: Signal) -> Result<Infallible, JoinError> {
        let mut table = self.table().map(Watched::new);
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                told = hangup.recv() => match told {
                    Some(()) => self.all().await?,
                    // The runtime ends.
                    None => std::future::pending().await,
                },
                _ = looks.tick(), if table.is_some() => {
                    if let Some(watched) = table.take() {
                        let (looked, changed) = spawn_blocking(move || watched.look()).await?;
                        table = Some(looked);
                        if changed {
                            self.changed_table().await?;
                        }
                    }
                }
            }
        }
    }

    /// The device table, where there is a stage that takes tags from it.
    fn table(&self) -> Option<PathBuf> {
        let transforms = self.stages.iter().any(|stage| stage.part == Part::Transform);
        self.files.device_table().filter(|_| transforms)
    }

    /// Makes every stage anew, and says what came of it.
    async fn all(&self) -> Result<(), JoinError> {
        if self.stages.is_empty() {
            info!("told to read files again, but no stage of this process reads any");
        }
        for stage in &self.stages {
            if let Some(Change::Nothing) = self.renew(stage).await? {
                info!(stage = %stage.part, "read again: nothing has changed");
            }
        }
        Ok(())
    }

    /// Makes transform anew; says something only when that changes it.
    async fn changed_table(&self) -> Result<(), JoinError> {
        for stage in self.stages.iter().filter(|stage| stage.part == Part::Transform) {
            self.renew(stage).await?;
        }
        Ok(())
    }

    /// Makes a stage anew and puts it in force. One that cannot be made leaves the old one there: none is answered.
    async fn renew(&self, reloadable: &Reloadable) -> Result<Option<Change>, JoinError> {
        let Reloadable { part, stage } = reloadable;
        let (files, transforms) = (Arc::clone(&self.files), *part == Part::Transform);
        let made = spawn_blocking(move || make(&files, transforms)).await?;
        let change = match made {
            Ok(made) => swap(stage, made),
            Err(errors) => {
                let (errors, count) = (on_one_line(&errors), errors.mistakes.len());
                warn!(stage = %part, mistakes = count, "not taken up, what was read before stays in force: {errors}");
                return Ok(None);
            }
        };
        if let Change::Config { before, now } = change {
            let (before, now) = (format!("{before:016x}"), format!("{now:016x}"));
            info!(stage = %part, before, now, "read again and in force from the next run on");
        }
        Ok(Some(change))
    }
}

fn make(files: &Files, transforms: bool) -> Result<Stage, ConfigErrors> {
    Ok(if transforms {
        Stage::Transform(Arc::new(files.transform()?))
    } else {
        Stage::Validate(Arc::new(files.validate()?))
    })
}

/// Puts `made` in the place of the stage in force, unless it would decide the same.
fn swap(stage: &watch::Sender<Stage>, made: Stage) -> Change {
    let (before, now) = (config_hash(&stage.borrow()), config_hash(&made));
    if before == now {
        return Change::Nothing;
    }
    stage.send_replace(made);
    Change::Config { before, now }
}

fn config_hash(stage: &Stage) -> u64 {
    match stage {
        Stage::Validate(validate) => validate.config_hash(),
        Stage::Transform(transform) => transform.config_hash(),
        Stage::Analyze(_) | Stage::Alert(_) => 0,
    }
}

fn on_one_line(errors: &ConfigErrors) -> String {
    errors.to_string().replace('\n', "; ")
}

/// A file, and how it looked.
#[derive(Debug)]
struct Watched {
    path: PathBuf,
    /// When it was last looked at.
    last: Look,
    /// When it was last read; the first look leads to reading it, since it may have changed since the start.
    read: Option<Look>,
}

/// How a file looks: nothing in it where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Look {
    modified: Option<SystemTime>,
    bytes: Option<u64>,
}

impl Watched {
    fn new(path: PathBuf) -> Self {
        Self { path, last: Look::default(), read: None }
    }

    /// Looks at the file; answers whether it is to be read. While it is being written it changes from look to look,
    /// and is left alone.
    fn look(self) -> (Self, bool) {
        let now = Look::at(&self.path);
        let settled = self.read.is_none() || now == self.last;
        let changed = settled && self.read != Some(now);
        let read = if changed { Some(now) } else { self.read };
        (Self { last: now, read, ..self }, changed)
    }
}

impl Look {
    fn at(path: &Path) -> Self {
        let looked = fs::metadata(path).and_then(|file| {
            io::Result::Ok(Self { modified: Some(file.modified()?), bytes: Some(file.len()) })
        });
        looked.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_once_it_has_been_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("devices.csv");
        let write = |text: &str| fs::write(&path, text).unwrap();
        write("device_id\n");
        let mut watched = Watched::new(path.clone());
        let mut look = || {
            let (looked, changed) = Watched { path: path.clone(), ..watched }.look();
            watched = looked;
            changed
        };
        assert!(look(), "it may have changed since the start");
        assert!(!look());
        write("device_id,si");
        assert!(!look(), "somebody may still write");
        write("device_id,site\n");
        assert!(!look(), "somebody may still write");
        assert!(look());
        assert!(!look());
        fs::remove_file(&path).unwrap();
        assert!(!look());
        assert!(look(), "that it is gone is told, once");
        assert!(!look());
        write("device_id,site\n");
        assert!(!look());
        assert!(look());
    }
}

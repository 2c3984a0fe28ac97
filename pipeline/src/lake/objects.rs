//! A lake in an object store: files appear whole, under names that are created and never replaced.
//!
//! A file is written to a local temporary file, then sent by one request that only creates (`If-None-Match: *`); a large one
//! is sent in parts to a name out of sight, and copied by a request that only creates. Such a request is sent **once**: a
//! name that was taken and whose file was merged since is free again, so a request that is repeated after a long sleep could
//! bring rows back. One whose answer is lost is followed by a look, and a roll that fails goes on under another name.
//!
//! There is no directory to take away from a worker that may only be asleep. So whoever resolves its intent puts a *fence*
//! under each name: an empty Parquet file, created like any other. Either it fails, and the file is there, whole; or it does
//! not, and the file never will be.

mod bucket;
mod compact;
mod fence;
mod log;
mod publish;
mod read;
mod tail;

use std::{
    collections::HashMap,
    fmt::Display,
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use ::parquet::errors::ParquetError;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, path::Path};
use stages::store::Dataset;
use tokio::runtime::Handle;

pub(super) use self::{compact::Compactor, publish::StagedObjects};
use super::{LakeError, LakeMeters, address::Bucket};

/// What names begin with that readers pass over.
const STAGING: &str = ".staging";
/// The same, of large states that belong to no row.
#[cfg(feature = "sqs")]
const STATES: &str = ".state";

/// A lake in an object store.
#[derive(Debug, Clone)]
pub(crate) struct Objects(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    bucket: Bucket,
    /// Sends each request once.
    once: Arc<dyn ObjectStore>,
    /// Sends requests again that fail in passing.
    again: Arc<dyn ObjectStore>,
    /// For calls that block.
    runtime: Handle,
    /// Those that readings have now.
    tags: Vec<String>,
    /// Whether it was looked at, and can be written.
    checked: AtomicBool,
    /// The rolls that this process writes, by name.
    rolls: Mutex<HashMap<String, Sent>>,
    meters: Arc<LakeMeters>,
}

/// What this process has sent of a roll.
#[derive(Debug, Default)]
struct Sent {
    /// The paths of files that may come, or have come, into the lake.
    paths: Vec<String>,
    /// Nothing more is sent.
    closed: bool,
}

/// What is under a name.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    Fence,
    /// A file of so many bytes.
    File(u64),
}

impl Objects {
    /// The lake in `bucket`. `tags` are those that readings have now. No request is sent yet.
    ///
    /// # Errors
    /// When what the config or the environment says of it does not fit together.
    pub(crate) fn new(bucket: &Bucket, tags: &[String]) -> Result<Self, LakeError> {
        let refused = |error: object_store::Error| LakeError::Bucket {
            lake: bucket.to_string(),
            reason: error.to_string(),
        };
        Ok(Self(Arc::new(Shared {
            once: bucket.connect(bucket::ONCE).map_err(refused)?,
            again: bucket.connect(bucket::AGAIN).map_err(refused)?,
            bucket: bucket.clone(),
            runtime: Handle::current(),
            tags: tags.to_vec(),
            checked: AtomicBool::new(false),
            rolls: Mutex::default(),
            meters: Arc::default(),
        })))
    }

    pub(super) fn meters(&self) -> Arc<LakeMeters> {
        Arc::clone(&self.0.meters)
    }

    pub(super) fn unwritten(&self, path: &str, source: ParquetError) -> LakeError {
        LakeError::Parquet { path: self.shown(&self.name(path)), source }
    }

    /// A place for the files of one roll. Blocks.
    pub(super) fn stage(&self, roll: &str) -> Result<StagedObjects, LakeError> {
        self.wait(self.check())?;
        self.rolls().insert(roll.to_owned(), Sent::default());
        Ok(StagedObjects::new(self.clone(), roll))
    }

    /// Makes the names of a roll's files final: each is a file's, or a fence's. Answers which are there. Blocks.
    pub(super) fn decide(&self, roll: &str, paths: Vec<String>) -> Result<Vec<String>, LakeError> {
        let own = self.rolls().get_mut(roll).map(|sent| {
            sent.closed = true;
            sent.paths.clone()
        });
        let there = self.wait(async {
            let mut there = Vec::new();
            for path in paths {
                // Nobody else sends files of this roll.
                let never_sent = own.as_ref().is_some_and(|sent| !sent.contains(&path));
                if !never_sent && self.is_taken(&path).await? {
                    there.push(path);
                }
            }
            Ok::<_, LakeError>(there)
        })?;
        self.rolls().remove(roll);
        // What else there may be of it is only in the way of nobody.
        let _left = self.wait(self.remove_below(&format!("{STAGING}/{roll}")));
        Ok(there)
    }

    /// Whether the file at `path` is there, whole; if not, nobody can put it there from here on.
    async fn is_taken(&self, path: &str) -> Result<bool, LakeError> {
        let name = self.name(path);
        let Some(dataset) = Dataset::ALL.into_iter().find(|dataset| path.starts_with(dataset.as_str()))
        else {
            return Ok(false);
        };
        let fence = fence::file(dataset, &self.0.tags).map_err(|source| self.unwritten(path, source))?;
        let put = self.0.again.put_opts(&name, PutPayload::from(fence), create()).await;
        let Err(error) = put else { return Ok(false) };
        match self.look(&name).await.map_err(self.failed("look for", &name))? {
            Found::File(_) => Ok(true),
            Found::Fence => Ok(false),
            Found::Nothing => Err(self.failed("put a fence at", &name)(error)),
        }
    }

    /// What is under a name.
    async fn look(&self, name: &Path) -> Result<Found, object_store::Error> {
        let found = async {
            let bytes = self.0.again.head(name).await?.size;
            if bytes > fence::BYTES_MAX {
                return Ok(Found::File(bytes));
            }
            let file = self.0.again.get(name).await?.bytes().await?;
            Ok(if fence::is_fence(file) { Found::Fence } else { Found::File(bytes) })
        };
        match found.await {
            Err(object_store::Error::NotFound { .. }) => Ok(Found::Nothing),
            found => found,
        }
    }

    /// Removes what is right below `prefix`, if anything.
    async fn remove_below(&self, prefix: &str) -> Result<(), object_store::Error> {
        for object in self.0.again.list_with_delimiter(Some(&self.name(prefix))).await?.objects {
            self.remove(&object.location).await?;
        }
        Ok(())
    }

    /// Removes an object, if it is there.
    async fn remove(&self, name: &Path) -> Result<(), object_store::Error> {
        match self.0.again.delete(name).await {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            removed => removed,
        }
    }

    /// The name of the object at `path` inside the lake.
    fn name(&self, path: &str) -> Path {
        match self.0.bucket.prefix.as_str() {
            "" => Path::from(path),
            prefix => Path::from(format!("{prefix}/{path}")),
        }
    }

    /// A name as people write it.
    fn shown(&self, name: &Path) -> String {
        let whole = Bucket { prefix: name.to_string(), ..self.0.bucket.clone() };
        whole.to_string()
    }

    fn failed(&self, action: &'static str, name: &Path) -> impl FnOnce(object_store::Error) -> LakeError {
        let path = self.shown(name);
        move |source| LakeError::Object { action, path, source: Box::new(source) }
    }

    fn refused(&self, reason: impl Display) -> LakeError {
        LakeError::Bucket { lake: self.0.bucket.to_string(), reason: reason.to_string() }
    }

    fn rolls(&self) -> MutexGuard<'_, HashMap<String, Sent>> {
        self.0.rolls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks until `work` is done; only where that is allowed.
    fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.0.runtime.block_on(work)
    }

    fn is_checked(&self) -> bool {
        self.0.checked.load(Ordering::Relaxed)
    }
}

/// Of a request that only creates.
fn create() -> PutOptions {
    PutOptions::from(PutMode::Create)
}

//! How a file of a roll comes to its name.

use std::{env, fs::File, io, ops::Range, os::unix::fs::FileExt};

use object_store::{
    CopyMode, CopyOptions, MultipartUpload, ObjectStore, PutMultipartOptions, PutPayload, path::Path,
};
use tokio::task::JoinSet;

use super::{Found, Objects, STAGING, bucket, create};
use crate::{failpoint::fail_point, lake::LakeError};

/// Larger files are sent in parts, of this size: several parts in memory, never a whole file.
const PUT_BYTES_MAX: u64 = 16 << 20;
const PART_BYTES: u64 = 8 << 20;
/// Parts on their way at once.
const PARTS_MAX: usize = 4;

/// The files of one roll before they have a name.
#[derive(Debug)]
pub(in crate::lake) struct StagedObjects {
    objects: Objects,
    roll: String,
}

impl StagedObjects {
    pub(super) fn new(objects: Objects, roll: &str) -> Self {
        Self { objects, roll: roll.to_owned() }
    }

    /// A new file, out of sight: on this machine, without a name.
    pub(in crate::lake) fn create(&self) -> Result<File, LakeError> {
        tempfile::tempfile().map_err(LakeError::io("make a file in", &env::temp_dir()))
    }

    /// Gives a complete file its path inside the lake; it never replaces one.
    pub(in crate::lake) fn publish(&self, number: &str, file: &File, path: &str) -> Result<(), LakeError> {
        let size = file.metadata().map(|metadata| metadata.len());
        let bytes = size.map_err(LakeError::io("look at a file in", &env::temp_dir()))?;
        fail_point!("put_before");
        self.sending(path)?;
        let sent = self.objects.send(file, bytes, path, &format!("{}/{number}", self.roll));
        fail_point!("put_after");
        sent.or_else(|error| match error {
            SendError::Request(error) => self.look_after(path, bytes, error),
            SendError::Before(error) => {
                self.unsent(path);
                Err(error)
            }
        })
    }

    /// Nothing is left to be done: what has its name is durable.
    pub(in crate::lake) fn sync(self) -> Result<(), LakeError> {
        self.objects.rolls().remove(&self.roll);
        Ok(())
    }

    /// Remembers that a file may be on its way. Fails once the roll was decided on.
    fn sending(&self, path: &str) -> Result<(), LakeError> {
        match self.objects.rolls().get_mut(&self.roll).filter(|sent| !sent.closed) {
            Some(sent) => {
                sent.paths.push(path.to_owned());
                Ok(())
            }
            None => Err(self.fenced(path)),
        }
    }

    /// Remembers that a file is surely not on its way.
    fn unsent(&self, path: &str) {
        if let Some(sent) = self.objects.rolls().get_mut(&self.roll) {
            sent.paths.retain(|sent| sent != path);
        }
    }

    /// What became of a request that failed: if only its answer did, the file is there.
    fn look_after(&self, path: &str, bytes: u64, error: object_store::Error) -> Result<(), LakeError> {
        let name = self.objects.name(path);
        if bucket::had_no_effect(&error) {
            self.unsent(path);
            return Err(self.objects.failed("put", &name)(error));
        }
        match self.objects.wait(self.objects.look(&name)) {
            // Nobody but this worker writes files of this name.
            Ok(Found::File(found)) if found == bytes => Ok(()),
            Ok(Found::Fence) => Err(self.fenced(path)),
            _ => Err(self.objects.failed("put", &name)(error)),
        }
    }

    fn fenced(&self, path: &str) -> LakeError {
        LakeError::Fenced { path: self.objects.shown_at(path) }
    }
}

/// Why a file was not sent.
pub(super) enum SendError {
    /// Before the request that gives it its name.
    Before(LakeError),
    /// By that request, which may have had its effect all the same.
    Request(object_store::Error),
}

impl Objects {
    /// Sends a complete file to its path inside the lake, once, where it replaces none; a large one by way of `staged`, a
    /// name that nobody else has. Blocks.
    pub(super) fn send(&self, file: &File, bytes: u64, path: &str, staged: &str) -> Result<(), SendError> {
        let name = self.name(path);
        if bytes <= PUT_BYTES_MAX {
            let payload = read(file, 0..bytes).map_err(unreadable).map_err(SendError::Before)?;
            let put = self.wait(self.0.once.put_opts(&name, payload, create()));
            return put.map(drop).map_err(SendError::Request);
        }
        let staged = self.name(&format!("{STAGING}/{staged}"));
        self.wait(self.send_parts(file, bytes, &staged)).map_err(SendError::Before)?;
        fail_point!("copy_before");
        let create = CopyOptions { mode: CopyMode::Create, ..CopyOptions::default() };
        self.wait(self.0.once.copy_opts(&staged, &name, create)).map_err(SendError::Request)?;
        fail_point!("copy_after");
        // What stays is in nobody's way.
        let _left = self.wait(self.remove(&staged));
        Ok(())
    }

    /// Sends a file to a name that nobody else knows.
    async fn send_parts(&self, file: &File, bytes: u64, to: &Path) -> Result<(), LakeError> {
        let upload = self.0.again.put_multipart_opts(to, PutMultipartOptions::default()).await;
        let mut upload = upload.map_err(self.failed("put", to))?;
        let sent = self.send_all(upload.as_mut(), file, bytes, to).await;
        if sent.is_err() {
            // A rule of the bucket removes what nobody completes.
            let _left = upload.abort().await;
        }
        sent
    }

    /// Sends all parts, a few at a time.
    async fn send_all(
        &self,
        upload: &mut dyn MultipartUpload,
        file: &File,
        bytes: u64,
        to: &Path,
    ) -> Result<(), LakeError> {
        let mut parts = JoinSet::new();
        let mut start = 0;
        while start < bytes || !parts.is_empty() {
            if start < bytes && parts.len() < PARTS_MAX {
                let end = bytes.min(start + PART_BYTES);
                parts.spawn(upload.put_part(read(file, start..end).map_err(unreadable)?));
                start = end;
            } else if let Some(sent) = parts.join_next().await {
                sent.map_err(object_store::Error::from).flatten().map_err(self.failed("put", to))?;
            }
        }
        upload.complete().await.map(drop).map_err(self.failed("put", to))
    }
}

fn unreadable(error: io::Error) -> LakeError {
    LakeError::io("read a file in", &env::temp_dir())(error)
}

/// Reads a piece of a file.
fn read(file: &File, piece: Range<u64>) -> io::Result<PutPayload> {
    let length = usize::try_from(piece.end - piece.start).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, piece.start)?;
    Ok(bytes.into())
}

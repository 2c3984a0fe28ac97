//! Large bytes on an object store. A snapshot of 20 MB is one request there, and costs a thousandth of what its pieces cost
//! in a table.

use std::sync::Arc;

use object_store::{Error, ObjectStore, ObjectStoreExt, PutPayload, path::Path};

use super::{Table, TableError};
use crate::{database::checksum, state::dynamodb::Key};

/// A bucket, and what names in it begin with.
#[derive(Clone)]
pub(crate) struct Objects {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

impl Table {
    /// The same table, whose large states go into objects of this prefix.
    #[must_use]
    pub fn with_objects(mut self, store: Arc<dyn ObjectStore>, prefix: &str) -> Self {
        self.objects = Some(Objects { store, prefix: Path::from(prefix) });
        self
    }

    /// Writes an object; its name.
    pub(super) async fn put_object(
        &self,
        objects: &Objects,
        pk: &str,
        name: &str,
        bytes: &[u8],
    ) -> Result<String, TableError> {
        // Its checksum makes a name that is good for these bytes alone.
        let name = format!("{}-{:016x}", name.replace('#', "-"), checksum(bytes));
        let path = objects.of(pk).join(name);
        let payload = PutPayload::from(bytes.to_vec());
        objects.store.put(&path, payload).await.map_err(|error| self.object("write", &path, &error))?;
        Ok(path.to_string())
    }

    /// What an object holds, if it is there.
    pub(super) async fn object_of(
        &self,
        objects: &Objects,
        name: &str,
    ) -> Result<Option<Vec<u8>>, TableError> {
        let path = Path::parse(name).map_err(|_| self.damaged(name, "the name"))?;
        let bytes = match objects.store.get(&path).await {
            Ok(found) => found.bytes().await,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => Err(error),
        };
        bytes.map(|bytes| Some(bytes.into())).map_err(|error| self.object("read", &path, &error))
    }

    /// Removes the objects of `head`'s lane that belong to changes before `number`.
    pub(in crate::state::dynamodb) async fn delete_objects(
        &self,
        head: &Key,
        number: u64,
    ) -> Result<(), TableError> {
        let Some(objects) = &self.objects else { return Ok(()) };
        let folder = objects.of(&head.pk);
        let listed = objects.store.list_with_delimiter(Some(&folder)).await;
        let first = format!("{number:020}");
        for object in listed.map_err(|error| self.object("list", &folder, &error))?.objects {
            let path = object.location;
            if path.filename().is_some_and(|name| *name < *first) {
                match objects.store.delete(&path).await {
                    Ok(()) | Err(Error::NotFound { .. }) => {}
                    Err(error) => return Err(self.object("delete", &path, &error)),
                }
            }
        }
        Ok(())
    }

    fn object(&self, doing: &'static str, path: &Path, error: &Error) -> TableError {
        TableError::Object { doing, path: path.to_string(), said: error.to_string() }
    }
}

impl Objects {
    /// The folder of a partition of the table.
    fn of(&self, pk: &str) -> Path {
        pk.split('#').fold(self.prefix.clone(), Path::join)
    }
}

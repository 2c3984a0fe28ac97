//! Bytes in an item, whole or in pieces or by the name of an object, with their checksum.

#[cfg(feature = "object-store")]
mod objects;

#[cfg(feature = "object-store")]
pub(super) use self::objects::Objects;
use super::{Item, Key, Table, TableError, binary, bytes_of, number_of, numeric, text, text_of};
use crate::database::checksum;

/// What an item holds at most of bytes: DynamoDB takes 400 KiB, names and all else included.
pub const PART_BYTES_MAX: usize = 256 << 10;

/// Where large bytes go.
pub(crate) struct Value<'a> {
    /// The partition of the pieces.
    pub(crate) pk: &'a str,
    /// What they are called, as nobody else's ever are.
    pub(crate) name: String,
    /// When they may go by themselves, if they do; such are never objects.
    pub(crate) expires_at: Option<u64>,
}

impl Table {
    /// Puts `bytes` into `item`. If they are large they are written elsewhere, now, and `item` says where.
    pub(crate) async fn keep(
        &self,
        item: &mut Item,
        value: Value<'_>,
        bytes: &[u8],
    ) -> Result<(), TableError> {
        if bytes.len() > PART_BYTES_MAX {
            return self.keep_apart(item, value, bytes).await;
        }
        item.insert("sum".to_owned(), numeric(checksum(bytes)));
        item.insert("bytes".to_owned(), binary(bytes));
        Ok(())
    }

    /// Writes `bytes` elsewhere, now, and `item` says where.
    pub(super) async fn keep_apart(
        &self,
        item: &mut Item,
        value: Value<'_>,
        bytes: &[u8],
    ) -> Result<(), TableError> {
        item.insert("sum".to_owned(), numeric(checksum(bytes)));
        #[cfg(feature = "object-store")]
        if let (Some(objects), None) = (&self.objects, value.expires_at) {
            let name = self.put_object(objects, value.pk, &value.name, bytes).await?;
            item.insert("object".to_owned(), text(name));
            return Ok(());
        }
        let parts = bytes.chunks(PART_BYTES_MAX);
        item.insert("parts".to_owned(), numeric(parts.len()));
        item.insert("part".to_owned(), text(&value.name));
        for (index, part) in parts.enumerate() {
            let mut piece = Key::new(value.pk, piece(&value.name, index)).item();
            piece.insert("bytes".to_owned(), binary(part));
            if let Some(expires_at) = value.expires_at {
                piece.insert("expires_at".to_owned(), numeric(expires_at));
            }
            self.put(piece).await?;
        }
        Ok(())
    }

    /// The bytes of an item; none when they were elsewhere and are gone.
    pub(crate) async fn kept(&self, pk: &str, item: &Item) -> Result<Option<Vec<u8>>, TableError> {
        let bytes = match bytes_of(item, "bytes") {
            Some(bytes) => bytes.to_vec(),
            None => match self.elsewhere(pk, item).await? {
                Some(bytes) => bytes,
                None => return Ok(None),
            },
        };
        if number_of(item, "sum") != Some(checksum(&bytes)) {
            return Err(self.damaged_item(item, "the checksum"));
        }
        Ok(Some(bytes))
    }

    async fn elsewhere(&self, pk: &str, item: &Item) -> Result<Option<Vec<u8>>, TableError> {
        if let Some(name) = text_of(item, "object") {
            #[cfg(feature = "object-store")]
            if let Some(objects) = &self.objects {
                return self.object_of(objects, name).await;
            }
            return Err(TableError::NoObjects { table: self.name().to_owned(), path: name.to_owned() });
        }
        let Some((name, parts)) = text_of(item, "part").zip(number_of::<usize>(item, "parts")) else {
            return Err(self.damaged_item(item, "the bytes"));
        };
        let (first, last) = (piece(name, 0), piece(name, parts.saturating_sub(1)));
        let pieces = self.range(pk, (&first, &last), &[]).await?;
        if pieces.len() != parts {
            return Ok(None);
        }
        Ok(Some(pieces.iter().filter_map(|piece| bytes_of(piece, "bytes")).flatten().copied().collect()))
    }

    fn damaged_item(&self, item: &Item, what: &'static str) -> TableError {
        self.damaged(Key::of(item).map(|key| key.to_string()).unwrap_or_default(), what)
    }
}

/// The key of a piece: they sort by their order.
fn piece(name: &str, index: usize) -> String {
    format!("part#{name}#{index:06}")
}

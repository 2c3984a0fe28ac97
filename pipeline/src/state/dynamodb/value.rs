//! Bytes in an item, whole or in pieces, with their checksum.

use super::{Item, Key, Table, TableError, binary, bytes_of, number_of, numeric, text, text_of};
use crate::database::checksum;

/// What an item holds at most of bytes: DynamoDB takes 400 KiB, names and all else included.
pub const PART_BYTES_MAX: usize = 256 << 10;

/// Where large bytes go.
pub(crate) struct Value<'a> {
    /// The partition of the pieces.
    pub(crate) pk: &'a str,
    /// What their keys begin with: nobody else's ever do.
    pub(crate) name: String,
    /// When they may go, if they do.
    pub(crate) expires_at: Option<u64>,
}

impl Table {
    /// Puts `bytes` into `item`. If they are large they are written in pieces, now, and `item` names these.
    pub(crate) async fn keep(&self, item: &mut Item, value: Value<'_>, bytes: &[u8]) -> Result<(), TableError> {
        item.insert("sum".to_owned(), numeric(checksum(bytes)));
        if bytes.len() <= PART_BYTES_MAX {
            item.insert("bytes".to_owned(), binary(bytes));
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

    /// The bytes of an item; none when pieces of them are gone.
    pub(crate) async fn kept(&self, pk: &str, item: &Item) -> Result<Option<Vec<u8>>, TableError> {
        let damaged = |what| self.damaged(Key::of(item).map(|key| key.to_string()).unwrap_or_default(), what);
        let bytes = match (bytes_of(item, "bytes"), text_of(item, "part"), number_of::<usize>(item, "parts")) {
            (Some(bytes), ..) => bytes.to_vec(),
            (None, Some(name), Some(parts)) => {
                let (first, last) = (piece(name, 0), piece(name, parts.saturating_sub(1)));
                let pieces = self.range(pk, (&first, &last), &[]).await?;
                if pieces.len() != parts {
                    return Ok(None);
                }
                pieces.iter().filter_map(|piece| bytes_of(piece, "bytes")).flatten().copied().collect()
            }
            _ => return Err(damaged("the bytes")),
        };
        if number_of(item, "sum") != Some(checksum(&bytes)) {
            return Err(damaged("the checksum"));
        }
        Ok(Some(bytes))
    }
}

/// The key of a piece: they sort by their order.
fn piece(name: &str, index: usize) -> String {
    format!("{name}#{index:06}")
}

//! A frame that is too large for its queue, in pieces.

use std::sync::Arc;

use arrow_array::{Array, RecordBatch, cast::AsArray};
use arrow_select::dictionary::garbage_collect_any_dictionary;
use stages::frame::{Frame, FrameError, FrameId, Source};

use super::EncodedFrame;

impl EncodedFrame {
    /// Encodes a frame, in one where that takes `bytes_max` at most, else in halves by rows, each again in halves where it must
    /// be. A row that takes more by itself is a frame of its own, for the queue to refuse. `id` names the half, 0 or 1, of a frame.
    ///
    /// # Errors
    /// Those of [`EncodedFrame::made_from`].
    pub(crate) fn fitting(
        frame: &Frame,
        inputs: &[Source<'_>],
        bytes_max: usize,
        id: &mut dyn FnMut(FrameId, usize) -> FrameId,
    ) -> Result<Vec<Self>, FrameError> {
        let whole = Self::made_from(frame, inputs)?;
        let rows = frame.rows.num_rows();
        if whole.bytes.len() <= bytes_max || rows < 2 {
            return Ok(vec![whole]);
        }
        let mut pieces = Vec::new();
        for (half, rows) in [frame.rows.slice(0, rows / 2), frame.rows.slice(rows / 2, rows - rows / 2)]
            .into_iter()
            .enumerate()
        {
            let mut header = frame.header.clone();
            header.id = id(header.id, half);
            let half = Frame { header, rows: without_spare(&rows)? };
            pieces.append(&mut Self::fitting(&half, &[], bytes_max, id)?);
        }
        Ok(pieces)
    }
}

/// The id of a half of a frame that a stage has made: who makes the frame again makes the same of it.
pub(crate) fn half_of(frame: FrameId, half: usize) -> FrameId {
    frame.published("half", 0, "", half)
}

/// The rows without values in dictionaries that none of them has, since these are encoded, too.
fn without_spare(rows: &RecordBatch) -> Result<RecordBatch, FrameError> {
    let slim = |column: &Arc<dyn Array>| match column.as_any_dictionary_opt() {
        Some(dictionary) => garbage_collect_any_dictionary(dictionary),
        None => Ok(Arc::clone(column)),
    };
    let columns = rows.columns().iter().map(slim).collect::<Result<_, _>>()?;
    Ok(RecordBatch::try_new(rows.schema(), columns)?)
}

#[cfg(test)]
mod tests {
    use stages::frame::{Header, Kind, Lane, Reading, Readings, ReadingsBuilder};

    use super::*;

    /// Rows whose bytes are those of names, which do not compress to nothing.
    fn frame(rows: usize) -> Frame {
        let mut builder = ReadingsBuilder::new(&[]);
        for row in 0..rows {
            let name: String = (0..8_u64)
                .map(|word| {
                    format!("{:016x}", (row as u64 * 8 + word + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
                })
                .collect();
            builder.append(&Reading {
                device_id: &name,
                metric: "level",
                seq: Some(row as u64),
                ..Reading::default()
            });
        }
        let id = FrameId::ingested(1, 1);
        let header = Header { id, kind: Kind::Readings, lane: Lane(2), created_at: 7, epoch: 1, trace: None };
        builder.finish(header).unwrap()
    }

    fn split(frame: &Frame, bytes_max: usize) -> Vec<EncodedFrame> {
        EncodedFrame::fitting(frame, &[], bytes_max, &mut half_of).unwrap()
    }

    #[test]
    fn a_frame_that_fits_stays_as_it_is() {
        let frame = frame(100);
        let whole = EncodedFrame::of(&frame).unwrap();
        assert_eq!(split(&frame, whole.bytes.len()), std::slice::from_ref(&whole));
        assert_eq!(split(&frame, whole.bytes.len() - 1).len(), 2);
    }

    #[test]
    fn pieces_have_all_rows_in_order_and_ids_that_come_again() {
        let frame = frame(1000);
        let pieces = split(&frame, 16_384);
        assert!(pieces.len() > 8, "{}", pieces.len());
        assert_eq!(split(&frame, 16_384), pieces, "whoever makes them again makes the same");
        let mut ids: Vec<_> = pieces.iter().map(|piece| piece.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!((ids.len(), ids.contains(&frame.header.id)), (pieces.len(), false));
        let mut seqs = Vec::new();
        for piece in pieces {
            assert!(piece.bytes.len() <= 16_384, "{}", piece.bytes.len());
            let decoded = piece.bytes.frame().unwrap();
            assert_eq!((decoded.header.id, decoded.header.lane, piece.lane), (piece.id, Lane(2), Lane(2)));
            assert_eq!(decoded.rows.num_rows(), piece.rows as usize);
            let readings = Readings::of(&decoded).unwrap();
            seqs.extend((0..readings.len()).map(|row| readings.seq(row).unwrap()));
        }
        assert_eq!(seqs, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn a_row_that_is_too_large_alone_is_a_frame_of_its_own() {
        assert_eq!(split(&frame(5), 1).iter().map(|piece| piece.rows).collect::<Vec<_>>(), [1; 5]);
    }
}

//! Reads rows, a few at a time.

use std::{collections::VecDeque, fs::File, path::PathBuf, sync::Arc};

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::filter::filter_record_batch;
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder},
    },
    errors::ParquetError,
    file::{metadata::RowGroupMetaData, statistics::Statistics},
};
use stages::{
    frame::{Quarantine, complete_quarantine},
    topic::Topics,
};

use super::{Filter, QuarantineError, Replayed, Span, files, filter, source::Source};
use crate::lake::{Batches, LakeAddress};

/// Rows in memory at once, without payloads.
const MARKS_ROWS: usize = 8192;

/// What a command looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// What can be counted by.
    Marks,
    /// Everything, the payload too.
    All,
}

impl Take {
    /// The columns that are read; none for all.
    fn columns(self) -> Option<&'static [&'static str]> {
        const MARKS: [&str; 8] =
            ["message", "topic", "received_at", "stage", "reason", "schema", "schema_version", "replays"];
        (self == Self::Marks).then_some(&MARKS)
    }

    /// Rows in memory at once.
    fn rows(self, all: Batches) -> usize {
        if self == Self::Marks { MARKS_ROWS } else { all.rows }
    }
}

/// Reads the rows that a filter picks, by day of receipt, then by file.
pub struct Reader {
    topics: Topics,
    filter: Filter,
    replayed: Replayed,
    rows: Rows,
}

/// Rows that the filter has picked.
pub struct Picked {
    rows: RecordBatch,
    /// How often the message of each was replayed up to now.
    replayed: Vec<u32>,
}

impl Picked {
    /// The rows.
    ///
    /// # Errors
    /// Never for rows that a [`Reader`] gave.
    pub fn rows(&self) -> Result<Quarantine<'_>, QuarantineError> {
        Ok(Quarantine::of_rows(&self.rows)?)
    }

    /// Whether the message in `row` was replayed since it was refused.
    pub fn was_replayed(&self, rows: &Quarantine<'_>, row: usize) -> bool {
        self.replayed.get(row).is_some_and(|replayed| *replayed > rows.replays(row))
    }
}

impl Reader {
    /// A reader of what there is in `directory` now. `topics` tell which devices topics name, `replayed` what has come back.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn open(
        directory: PathBuf,
        topics: Topics,
        (filter, take): (Filter, Take),
        replayed: Replayed,
    ) -> Result<Self, QuarantineError> {
        let directories = files::directories(&directory, filter.span)?;
        Ok(Self::new((Source::Directory, directories), topics, (filter, take), replayed))
    }

    /// The same of what there is in the quarantine of the lake at `address`.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub async fn of_lake(
        address: &LakeAddress,
        topics: Topics,
        (filter, take): (Filter, Take),
        replayed: Replayed,
    ) -> Result<Self, QuarantineError> {
        let source = Source::of(address, filter.span).await?;
        Ok(Self::new(source, topics, (filter, take), replayed))
    }

    fn new(
        (source, directories): (Source, Vec<PathBuf>),
        topics: Topics,
        (filter, take): (Filter, Take),
        replayed: Replayed,
    ) -> Self {
        files::raise_limit();
        let (span, directories) = (filter.span, directories.into());
        let rows = Rows { take, span, source, directories, files: VecDeque::new(), current: None };
        Self { topics, filter, replayed, rows }
    }

    /// The next rows that the filter picks, at least one; none at the end.
    ///
    /// # Errors
    /// When a file cannot be read, or is none of the quarantine.
    pub async fn next(&mut self) -> Result<Option<Picked>, QuarantineError> {
        loop {
            let Some(rows) = self.rows.next().await? else { return Ok(None) };
            let mask = self.filter.mask(&Quarantine::of_rows(&rows)?, &self.topics);
            if mask.true_count() == 0 {
                continue;
            }
            let rows = filter_record_batch(&rows, &mask).map_err(stages::frame::FrameError::from)?;
            let messages = Quarantine::of_rows(&rows)?;
            let messages = (0..messages.len()).map(|row| messages.message(row)).collect();
            let replayed = self.replayed.of(messages).await?;
            return Ok(Some(Picked { rows, replayed }));
        }
    }

    /// The device that a topic names, if the config says where.
    pub fn device<'a>(&'a self, topic: &'a str) -> Option<&'a str> {
        filter::device(&self.topics, topic)
    }

    /// What has come back.
    pub fn replayed(&self) -> &Replayed {
        &self.replayed
    }
}

/// The rows of all files, a batch after the other.
struct Rows {
    take: Take,
    span: Span,
    source: Source,
    directories: VecDeque<PathBuf>,
    /// Of the directory that is being read.
    files: VecDeque<(PathBuf, File)>,
    current: Option<(PathBuf, ParquetRecordBatchReader)>,
}

impl Rows {
    async fn next(&mut self) -> Result<Option<RecordBatch>, QuarantineError> {
        loop {
            if let Some((path, batches)) = &mut self.current {
                let rows = |source| QuarantineError::Rows { path: path.clone(), source };
                match batches.next() {
                    Some(Ok(batch)) => {
                        let batch = complete_quarantine(&batch).map_err(rows)?;
                        Quarantine::of_rows(&batch).map_err(rows)?;
                        return Ok(Some(batch));
                    }
                    Some(Err(error)) => {
                        return Err(QuarantineError::Parquet { path: path.clone(), source: error.into() });
                    }
                    None => self.current = None,
                }
            } else if let Some((path, file)) = self.files.pop_front() {
                let batches = self.read(file);
                let batches =
                    batches.map_err(|source| QuarantineError::Parquet { path: path.clone(), source })?;
                self.current = Some((path, batches));
            } else if let Some(directory) = self.directories.pop_front() {
                self.files = self.source.open(&directory).await?.into();
            } else {
                return Ok(None);
            }
        }
    }

    fn read(&self, file: File) -> Result<ParquetRecordBatchReader, ParquetError> {
        let as_written = ArrowReaderMetadata::load(&file, Batches::options())?;
        let options = Batches::options().with_schema(with_repeated_texts(as_written.schema()));
        let metadata = ArrowReaderMetadata::try_new(Arc::clone(as_written.metadata()), options)?;
        let rows = self.take.rows(Batches::of(metadata.metadata(), metadata.schema()));
        let mut builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata).with_batch_size(rows);
        if let Some(columns) = self.take.columns() {
            let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
            builder = builder.with_projection(mask);
        }
        let groups = builder.metadata().row_groups().iter().enumerate();
        let groups = groups.filter(|(_, group)| self.may_hold(group)).map(|(index, _)| index).collect();
        builder.with_row_groups(groups).build()
    }

    /// Whether a row group may have rows of the span, as far as its statistics tell.
    fn may_hold(&self, group: &RowGroupMetaData) -> bool {
        let mut columns = group.columns().iter();
        let received_at = columns.find(|column| column.column_path().string() == "received_at");
        match received_at.and_then(|column| column.statistics()) {
            Some(Statistics::Int64(bounds)) => match (bounds.min_opt(), bounds.max_opt()) {
                (Some(first), Some(last)) => self.span.meets(*first, *last),
                _ => true,
            },
            _ => true,
        }
    }
}

/// A schema whose columns of text are read as dictionaries, as frames have them, whoever wrote the file.
fn with_repeated_texts(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            Field::new_dictionary(field.name(), DataType::Int32, DataType::Utf8, field.is_nullable()).into()
        }
        _ => Arc::clone(field),
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

//! In which order rows are written.
//!
//! What is sorted are stretches of rows that belong together already, and not rows: the readings of a message follow each
//! other, and most messages of a device come in the order of time.

use std::{
    collections::{BTreeMap, HashMap},
    mem,
    ops::Range,
};

use arrow_array::{Array, DictionaryArray, RecordBatch, types::Int32Type};

use super::{Dataset, Granularity, Partition};
use crate::frame::{FrameError, Micros};

/// Rows of one batch that follow each other there, and where they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Which batch.
    pub batch: u32,
    /// The first of its rows.
    pub first: u32,
    /// How many.
    pub rows: u32,
}

impl Stretch {
    /// The rows in their batch.
    pub fn range(&self) -> Range<usize> {
        self.first as usize..self.first as usize + self.rows as usize
    }

    /// The rows as pairs of batch and row.
    pub fn places(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let batch = self.batch as usize;
        self.range().map(move |row| (batch, row))
    }

    /// The first `rows` of it, and the others.
    #[must_use]
    pub fn split(self, rows: u32) -> (Self, Self) {
        let rows = rows.min(self.rows);
        (Self { rows, ..self }, Self { first: self.first + rows, rows: self.rows - rows, ..self })
    }

    /// Takes `next` up, if it begins where this ends.
    fn takes_up(&mut self, next: &Self) -> bool {
        let follows = self.batch == next.batch && self.first + self.rows == next.first;
        if follows {
            self.rows += next.rows;
        }
        follows
    }
}

/// The rows of one partition, sorted for writing.
pub type Run = (Partition, Vec<Stretch>);

/// Sorts the rows of `batches` by partition, name and instant, and cuts them at partitions. Rows
/// equal in all three keep their order.
///
/// # Errors
/// When a batch lacks a column that the dataset is sorted by.
pub fn arrange(
    dataset: Dataset,
    granularity: Granularity,
    batches: &[RecordBatch],
) -> Result<Vec<Run>, FrameError> {
    let ranks = Ranks::of(dataset, batches)?;
    let instants = batches.iter().map(|rows| Ok(dataset.instants(rows)?.values().as_ref()));
    let instants: Vec<&[Micros]> = instants.collect::<Result<_, FrameError>>()?;
    let mut parts = Parts {
        granularity,
        numbers: BTreeMap::new(),
        stretches: Vec::new(),
        latest: vec![Micros::MIN; ranks.count],
        mixed: vec![false; ranks.count],
    };
    for ((batch, rows), instants) in (0_u32..).zip(batches).zip(&instants) {
        parts.take(batch, dataset.names(rows)?, &ranks.of_values[batch as usize], instants);
    }
    let Parts { numbers, mut stretches, mixed, .. } = parts;
    let run = |(partition, number): (Partition, usize)| {
        (partition, sorted(mem::take(&mut stretches[number]), &mixed, &instants))
    };
    Ok(numbers.into_iter().map(run).collect())
}

/// Rows of one name, whose instants grow, and the place of that name among all.
#[derive(Debug, Clone, Copy)]
struct Ranked {
    rank: u32,
    stretch: Stretch,
}

/// The rows of all partitions, as they come.
struct Parts {
    granularity: Granularity,
    numbers: BTreeMap<Partition, usize>,
    /// By the number of the partition.
    stretches: Vec<Vec<Ranked>>,
    /// The latest instant of each name so far.
    latest: Vec<Micros>,
    /// Of which names the stretches did not come in the order of time.
    mixed: Vec<bool>,
}

impl Parts {
    fn take(&mut self, batch: u32, names: &DictionaryArray<Int32Type>, ranks: &[u32], instants: &[Micros]) {
        let (keys, mut current) = (names.keys().values(), None);
        let mut row = 0;
        while let Some(&start) = instants.get(row) {
            let (first, mut end) = (row, start);
            let same = current.filter(|(partition, _): &(Partition, usize)| partition.contains(start));
            let (partition, number) = same.unwrap_or_else(|| self.part(start));
            current = Some((partition, number));
            let is_named = names.is_valid(first);
            row += 1;
            while let Some(&ts) = instants.get(row)
                && keys[row] == keys[first]
                && names.is_valid(row) == is_named
                && (end..partition.end).contains(&ts)
            {
                end = ts;
                row += 1;
            }
            let rank = names.key(first).and_then(|key| ranks.get(key).copied()).unwrap_or_default();
            let latest = &mut self.latest[rank as usize];
            self.mixed[rank as usize] |= start < *latest;
            *latest = end.max(*latest);
            let stretch = Stretch { batch, first: narrow(first), rows: narrow(row - first) };
            self.stretches[number].push(Ranked { rank, stretch });
        }
    }

    /// The partition that an instant lies in, and its number.
    fn part(&mut self, ts: Micros) -> (Partition, usize) {
        let partition = self.granularity.partition(ts);
        let number = *self.numbers.entry(partition).or_insert(self.stretches.len());
        if number == self.stretches.len() {
            self.stretches.push(Vec::new());
        }
        (partition, number)
    }
}

/// A number of rows of a batch, which Arrow's readers and writers bound to much less.
fn narrow(rows: usize) -> u32 {
    u32::try_from(rows).unwrap_or(u32::MAX)
}

/// The stretches of one partition by name and instant.
fn sorted(mut stretches: Vec<Ranked>, mixed: &[bool], instants: &[&[Micros]]) -> Vec<Stretch> {
    // Stable: those of a name stay in the order in which they came.
    stretches.sort_by_key(|ranked| ranked.rank);
    let mut order = Vec::with_capacity(stretches.len());
    for of_name in stretches.chunk_by(|one, next| one.rank == next.rank) {
        let of_name_in_order = of_name.iter().map(|ranked| ranked.stretch);
        if mixed[of_name[0].rank as usize] {
            order.extend(by_instant(of_name_in_order, instants));
        } else {
            order.extend(of_name_in_order);
        }
    }
    order.dedup_by(|next, before| before.takes_up(next));
    order
}

/// The stretches of one name that overlap in time.
fn by_instant(
    stretches: impl Iterator<Item = Stretch>,
    instants: &[&[Micros]],
) -> impl Iterator<Item = Stretch> {
    let mut parts = Vec::new();
    for mut left in stretches {
        for equal in instants[left.batch as usize][left.range()].chunk_by(|one, next| one == next) {
            let (part, others) = left.split(narrow(equal.len()));
            parts.push((equal[0], part));
            left = others;
        }
    }
    parts.sort_by_key(|(ts, _)| *ts);
    parts.into_iter().map(|(_, part)| part)
}

/// The place of each name among all names of several batches, so that sorting compares numbers.
struct Ranks {
    /// By batch and place in its dictionary.
    of_values: Vec<Vec<u32>>,
    /// How many there are; at least one.
    count: usize,
}

impl Ranks {
    fn of(dataset: Dataset, batches: &[RecordBatch]) -> Result<Self, FrameError> {
        // Numbered as they are found, so that of names that many batches have each is compared with others once.
        let (mut numbers, mut names) = (HashMap::new(), Vec::new());
        let mut of_values = Vec::with_capacity(batches.len());
        for rows in batches {
            let values = dataset.name_values(rows)?;
            // What is null shares the first place.
            let number = |name: Option<_>| {
                name.map(|name| {
                    *numbers.entry(name).or_insert_with(|| {
                        names.push(name);
                        narrow(names.len() - 1)
                    })
                })
            };
            of_values.push(values.iter().map(number).collect::<Vec<Option<u32>>>());
        }
        let mut sorted: Vec<usize> = (0..names.len()).collect();
        sorted.sort_unstable_by_key(|number| names[*number]);
        let mut ranks = vec![0; names.len()];
        for (rank, number) in (0..).zip(sorted) {
            ranks[number] = rank;
        }
        let rank = |number: Option<u32>| number.map_or(0, |number| ranks[number as usize]);
        let of_values = of_values.into_iter().map(|numbers| numbers.into_iter().map(rank).collect());
        Ok(Self { of_values: of_values.collect(), count: names.len().max(1) })
    }
}

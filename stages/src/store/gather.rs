//! Rows of many batches, put together in another order.
//!
//! Arrow's `interleave` does the same for any type. It goes through all values of all dictionaries each time, and through
//! columns that hold nothing; here only what is used of a dictionary is looked at, and rows that belong together are copied
//! together.

use std::{collections::HashMap, sync::Arc};

use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, BooleanArray, DictionaryArray, PrimitiveArray, RecordBatch,
    StringArray,
    cast::AsArray,
    new_null_array,
    types::{Float64Type, Int32Type, TimestampMicrosecondType, UInt64Type},
};
use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder, NullBuffer};
use arrow_schema::{ArrowError, DataType, SchemaRef, TimeUnit};
use arrow_select::interleave::interleave;

use super::Stretch;

/// Takes rows out of some batches that have the same columns.
pub struct Gather {
    schema: SchemaRef,
    columns: Vec<Box<dyn Column + Send>>,
}

impl Gather {
    /// What takes rows out of `batches`, which have the same columns. None where there is no batch.
    ///
    /// # Panics
    /// When one has fewer columns than the first.
    pub fn of(batches: &[&RecordBatch]) -> Option<Self> {
        let schema = batches.first()?.schema();
        let all = |index| batches.iter().map(|rows| Arc::clone(rows.column(index))).collect();
        let columns = (0..schema.fields().len()).map(|index| column(all(index))).collect();
        Some(Self { schema, columns })
    }

    /// The rows of `order`.
    ///
    /// # Errors
    /// When the batches differ in their columns.
    ///
    /// # Panics
    /// When the batches have no such rows.
    pub fn take(&mut self, order: &[Stretch]) -> Result<RecordBatch, ArrowError> {
        let rows = order.iter().map(|stretch| stretch.rows as usize).sum();
        let columns = self.columns.iter_mut().map(|column| column.take(order, rows));
        RecordBatch::try_new(Arc::clone(&self.schema), columns.collect::<Result<_, _>>()?)
    }
}

/// One column of all batches.
trait Column {
    /// Its values in the rows of `order`, which are so many.
    fn take(&mut self, order: &[Stretch], rows: usize) -> Result<ArrayRef, ArrowError>;
}

fn column(of_batches: Vec<ArrayRef>) -> Box<dyn Column + Send> {
    let data_type = of_batches[0].data_type().clone();
    if of_batches.iter().any(|values| *values.data_type() != data_type) {
        return Box::new(Other(of_batches));
    }
    if of_batches.iter().all(|values| values.null_count() == values.len()) {
        return Box::new(Nothing(data_type));
    }
    match &data_type {
        DataType::Float64 => Box::new(Numbers::<Float64Type>::of(&of_batches)),
        DataType::UInt64 => Box::new(Numbers::<UInt64Type>::of(&of_batches)),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Box::new(Numbers::<TimestampMicrosecondType>::of(&of_batches))
        }
        DataType::Boolean => match Flags::of(&of_batches) {
            Some(flags) => Box::new(flags),
            None => Box::new(Other(of_batches)),
        },
        DataType::Dictionary(..) => match Names::of(&of_batches) {
            Some(names) => Box::new(names),
            None => Box::new(Other(of_batches)),
        },
        _ => Box::new(Other(of_batches)),
    }
}

/// A column of nothing but nulls.
struct Nothing(DataType);

impl Column for Nothing {
    fn take(&mut self, _: &[Stretch], rows: usize) -> Result<ArrayRef, ArrowError> {
        Ok(new_null_array(&self.0, rows))
    }
}

/// Whatever has no shorter way.
struct Other(Vec<ArrayRef>);

impl Column for Other {
    fn take(&mut self, order: &[Stretch], rows: usize) -> Result<ArrayRef, ArrowError> {
        let of_batches: Vec<&dyn Array> = self.0.iter().map(AsRef::as_ref).collect();
        let mut places = Vec::with_capacity(rows);
        places.extend(order.iter().flat_map(Stretch::places));
        interleave(&of_batches, &places)
    }
}

/// Which rows are null, batch by batch; none where no row is.
struct Nulls(Option<Vec<Option<NullBuffer>>>);

impl Nulls {
    fn of<'a>(of_batches: impl Iterator<Item = &'a dyn Array>) -> Self {
        let nulls: Vec<_> =
            of_batches.map(|values| values.nulls().filter(|nulls| nulls.null_count() > 0).cloned()).collect();
        Self(nulls.iter().any(Option::is_some).then_some(nulls))
    }

    fn take(&self, order: &[Stretch], rows: usize) -> Option<NullBuffer> {
        let of_batches = self.0.as_ref()?;
        let mut valid = BooleanBufferBuilder::new(rows);
        for stretch in order {
            match &of_batches[stretch.batch as usize] {
                Some(nulls) => append(&mut valid, nulls.inner(), stretch),
                None => valid.append_n(stretch.rows as usize, true),
            }
        }
        Some(NullBuffer::new(valid.finish()))
    }
}

fn append(bits: &mut BooleanBufferBuilder, from: &BooleanBuffer, stretch: &Stretch) {
    let range = stretch.range();
    bits.append_packed_range(from.offset() + range.start..from.offset() + range.end, from.values());
}

/// Numbers and instants.
struct Numbers<T: ArrowPrimitiveType> {
    data_type: DataType,
    of_batches: Vec<PrimitiveArray<T>>,
    nulls: Nulls,
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    /// All are of this type.
    fn of(of_batches: &[ArrayRef]) -> Self {
        Self {
            data_type: of_batches[0].data_type().clone(),
            of_batches: of_batches.iter().map(|values| values.as_primitive::<T>().clone()).collect(),
            nulls: Nulls::of(of_batches.iter().map(AsRef::as_ref)),
        }
    }
}

impl<T: ArrowPrimitiveType> Column for Numbers<T> {
    fn take(&mut self, order: &[Stretch], rows: usize) -> Result<ArrayRef, ArrowError> {
        let mut values: Vec<T::Native> = Vec::with_capacity(rows);
        for stretch in order {
            values.extend_from_slice(&self.of_batches[stretch.batch as usize].values()[stretch.range()]);
        }
        let values = PrimitiveArray::<T>::try_new(values.into(), self.nulls.take(order, rows))?;
        Ok(Arc::new(values.with_data_type(self.data_type.clone())))
    }
}

/// Booleans, most often the same in all rows of a batch.
struct Flags(Vec<Flag>);

enum Flag {
    All(bool),
    Some(BooleanBuffer),
}

impl Flags {
    /// None where one is null.
    fn of(of_batches: &[ArrayRef]) -> Option<Self> {
        let flag = |values: &BooleanArray| match values.true_count() {
            _ if values.null_count() > 0 => None,
            0 => Some(Flag::All(false)),
            rows if rows == values.len() => Some(Flag::All(true)),
            _ => Some(Flag::Some(values.values().clone())),
        };
        of_batches.iter().map(|values| flag(values.as_boolean())).collect::<Option<_>>().map(Self)
    }
}

impl Column for Flags {
    fn take(&mut self, order: &[Stretch], rows: usize) -> Result<ArrayRef, ArrowError> {
        if self.0.iter().all(|flag| matches!(flag, Flag::All(false))) {
            return Ok(Arc::new(BooleanArray::new(BooleanBuffer::new_unset(rows), None)));
        }
        let mut bits = BooleanBufferBuilder::new(rows);
        for stretch in order {
            match &self.0[stretch.batch as usize] {
                Flag::All(value) => bits.append_n(stretch.rows as usize, *value),
                Flag::Some(values) => append(&mut bits, values, stretch),
            }
        }
        Ok(Arc::new(BooleanArray::new(bits.finish(), None)))
    }
}

/// Strings that repeat. Each batch that is taken has a dictionary of just what it uses.
struct Names {
    of_batches: Vec<NamesOfBatch>,
    nulls: Nulls,
    /// The new key of each value of each batch; [`Names::NONE`] for those not met so far.
    new_keys: Vec<Vec<i32>>,
    /// What was numbered: batch and place in its dictionary.
    numbered: Vec<(usize, usize)>,
}

struct NamesOfBatch {
    keys: PrimitiveArray<Int32Type>,
    values: StringArray,
}

impl Names {
    const NONE: i32 = -1;

    /// None where they are not of the type that frames have, or a value itself is null.
    fn of(of_batches: &[ArrayRef]) -> Option<Self> {
        let names = |column: &ArrayRef| {
            let column: &DictionaryArray<Int32Type> = column.as_dictionary_opt()?;
            let values = column.values().as_string_opt::<i32>()?.clone();
            (values.null_count() == 0).then(|| NamesOfBatch { keys: column.keys().clone(), values })
        };
        let nulls = Nulls::of(of_batches.iter().map(AsRef::as_ref));
        let of_batches: Vec<_> = of_batches.iter().map(names).collect::<Option<_>>()?;
        let new_keys = of_batches.iter().map(|batch| vec![Self::NONE; batch.values.len()]).collect();
        Some(Self { of_batches, nulls, new_keys, numbered: Vec::new() })
    }
}

impl Column for Names {
    fn take(&mut self, order: &[Stretch], rows: usize) -> Result<ArrayRef, ArrowError> {
        let (mut keys, mut dictionary) = (Vec::with_capacity(rows), Dictionary::default());
        for stretch in order {
            let batch = stretch.batch as usize;
            let NamesOfBatch { keys: old_keys, values } = &self.of_batches[batch];
            let new_keys = &mut self.new_keys[batch];
            for old in &old_keys.values()[stretch.range()] {
                // That of a null may be anything.
                let place = usize::try_from(*old).unwrap_or(usize::MAX);
                let Some(new) = new_keys.get_mut(place) else {
                    keys.push(0);
                    continue;
                };
                if *new == Self::NONE {
                    *new = dictionary.key(values.value(place))?;
                    self.numbered.push((batch, place));
                }
                keys.push(*new);
            }
        }
        let values =
            Arc::new(StringArray::from_iter_values(dictionary.strings.iter().map(|known| known.text)));
        for (batch, place) in self.numbered.drain(..) {
            self.new_keys[batch][place] = Self::NONE;
        }
        let keys = PrimitiveArray::try_new(keys.into(), self.nulls.take(order, rows))?;
        Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(keys, values)?))
    }
}

/// A dictionary that grows.
///
/// What is asked for was mostly in the batch before at the same place: rows are sorted by one name, and others come in
/// rounds. So the last string and the one that followed it the last time are compared before one is looked up.
#[derive(Default)]
struct Dictionary<'a> {
    keys: HashMap<&'a str, i32>,
    /// By their keys.
    strings: Vec<Known<'a>>,
    last: usize,
}

struct Known<'a> {
    text: &'a str,
    /// Which other one came next.
    next: usize,
}

impl<'a> Dictionary<'a> {
    fn key(&mut self, value: &'a str) -> Result<i32, ArrowError> {
        let place = match self.guess(value) {
            Some(place) => place,
            None => self.look_up(value)?,
        };
        if place != self.last {
            self.strings[self.last].next = place;
            self.last = place;
        }
        i32::try_from(place).map_err(|_| ArrowError::DictionaryKeyOverflowError)
    }

    fn guess(&self, value: &str) -> Option<usize> {
        let last = self.strings.get(self.last)?;
        let same = |place: &usize| self.strings.get(*place).is_some_and(|known| known.text == value);
        [self.last, last.next].into_iter().find(same)
    }

    fn look_up(&mut self, value: &'a str) -> Result<usize, ArrowError> {
        let place = self.strings.len();
        let key = i32::try_from(place).map_err(|_| ArrowError::DictionaryKeyOverflowError)?;
        let known = *self.keys.entry(value).or_insert(key);
        if known == key {
            self.strings.push(Known { text: value, next: 0 });
        }
        usize::try_from(known).map_err(|_| ArrowError::DictionaryKeyOverflowError)
    }
}

//! Rows as few bytes, each as its difference to the one before it.
//!
//! A device sends its metrics together, in one order, at times and with numbers that rise evenly. So a run of rows is a sequence of
//! tokens, each led by a byte:
//!
//! | first byte | what it says |
//! |---|---|
//! | `0mdddddd` | a row of the metric that is expected next, with the scale that it has: six bits of the difference of the mantissas, and, with `m`, a number with the bits above |
//! | `10snnu··` | from here on rows have another time and sequence number. `s`: time goes on by the same step as the last time, else the step follows, in ms with `u`, in µs without. `nn`: the number goes on by 1, there is none, it is the same, or the difference follows |
//! | `11ekkkw·` | a row. `e`: of the metric that is expected next, else its place follows, or with `w`, for a new one, its hash. `kkk`: its scale, followed by the difference of the mantissas; 4: a hash of the value follows; 5: the hash is the last one |
//!
//! Numbers have seven bits in a byte, the lowest first; differences are zigzag.

use super::row::{HASH_BYTES, Row, SCALE_MAX, Value};
use crate::frame::Micros;

const MORE: u8 = 0b0100_0000;
const INSTANT: u8 = 0b1000_0000;
const FULL: u8 = 0b1100_0000;

const SAME_STEP: u8 = 0b0010_0000;
const MILLIS: u8 = 0b0000_0100;
const NUMBER: u8 = 3;
const NEXT_NUMBER: u8 = 0;
const NO_NUMBER: u8 = 1;
const SAME_NUMBER: u8 = 2;
const OTHER_NUMBER: u8 = 3;

const EXPECTED: u8 = 0b0010_0000;
const NEW: u8 = 0b0000_0010;
const KIND: u8 = 2;
const HASH: u8 = 4;
const LAST_HASH: u8 = 5;

/// What is known before a row is written or read.
#[derive(Debug, Clone)]
pub(super) struct Context {
    ts: Micros,
    step: Micros,
    seq: Option<u64>,
    /// The place of the metric of the last row.
    last: usize,
    columns: Vec<Column>,
    began: bool,
}

/// A metric.
#[derive(Debug, Clone)]
struct Column {
    metric: u64,
    /// The place of the metric that came after it the last time.
    next: usize,
    scale: u8,
    mantissa: i64,
    hash: [u8; HASH_BYTES],
}

impl Default for Context {
    fn default() -> Self {
        // Many a device counts from 1.
        Self { ts: 0, step: 0, seq: Some(0), last: 0, columns: Vec::new(), began: false }
    }
}

impl Context {
    /// Appends `row` to `bytes`.
    pub(super) fn write(&mut self, row: &Row, bytes: &mut Vec<u8>) {
        if !self.began || row.ts != self.ts || row.seq != self.seq {
            self.write_instant(row, bytes);
        }
        let expected = self.expected();
        let place = match self.columns.get(expected) {
            Some(column) if column.metric == row.metric => expected,
            _ => {
                let known = self.columns.iter().position(|column| column.metric == row.metric);
                known.unwrap_or(self.columns.len())
            }
        };
        let is_new = self.add_if_new(place, row.metric);
        let column = &mut self.columns[place];
        let (kind, difference) = column.take(row.value, is_new);
        if let (Some(difference), true) = (difference, place == expected && !is_new && kind.is_none()) {
            write_short(zigzag(difference), bytes);
        } else {
            let kind = kind.unwrap_or(column.scale);
            let of = if is_new { NEW } else { u8::from(place == expected) * EXPECTED };
            bytes.push(FULL | of | kind << KIND);
            match of {
                NEW => bytes.extend(row.metric.to_le_bytes()),
                EXPECTED => {}
                _ => write_number(place as u64, bytes),
            }
            match (difference, row.value) {
                (Some(difference), _) => write_number(zigzag(difference), bytes),
                (None, Value::Hash(hash)) if kind == HASH => bytes.extend(hash),
                _ => {}
            }
        }
        self.follow(place);
    }

    fn write_instant(&mut self, row: &Row, bytes: &mut Vec<u8>) {
        let step = row.ts.wrapping_sub(self.ts);
        let number = match (row.seq, self.seq) {
            (None, _) => NO_NUMBER,
            (Some(seq), Some(last)) if seq == last => SAME_NUMBER,
            (Some(seq), Some(last)) if seq == last.wrapping_add(1) => NEXT_NUMBER,
            _ => OTHER_NUMBER,
        };
        let unit = if step % 1000 == 0 { MILLIS } else { 0 };
        let same = self.began && step == self.step;
        bytes.push(INSTANT | number << NUMBER | if same { SAME_STEP } else { unit });
        if !same {
            write_number(zigzag(if unit == MILLIS { step / 1000 } else { step }), bytes);
        }
        if let (OTHER_NUMBER, Some(seq)) = (number, row.seq) {
            write_number(zigzag(seq.wrapping_sub(self.seq.unwrap_or_default()).cast_signed()), bytes);
        }
        (self.ts, self.step, self.seq, self.began) = (row.ts, step, row.seq, true);
    }

    /// Takes the next row off the front of `bytes`; `None` at their end.
    pub(super) fn read(&mut self, bytes: &mut &[u8]) -> Option<Row> {
        let mut token = take(bytes)?;
        while token & FULL == INSTANT {
            self.read_instant(token, bytes)?;
            token = take(bytes)?;
        }
        let expected = self.expected();
        let (place, value) = if token & INSTANT == 0 {
            let column = self.columns.get_mut(expected)?;
            let above = if token & MORE == 0 { 0 } else { read_number(bytes)? << 6 };
            (expected, column.give(unzigzag(above | u64::from(token & (MORE - 1)))))
        } else {
            self.read_full(token, expected, bytes)?
        };
        self.follow(place);
        Some(Row { metric: self.columns[place].metric, ts: self.ts, seq: self.seq, value })
    }

    fn read_instant(&mut self, token: u8, bytes: &mut &[u8]) -> Option<()> {
        if token & SAME_STEP == 0 {
            let step = unzigzag(read_number(bytes)?);
            self.step = if token & MILLIS == 0 { step } else { step.wrapping_mul(1000) };
        }
        self.ts = self.ts.wrapping_add(self.step);
        self.seq = match token >> NUMBER & 3 {
            NEXT_NUMBER => Some(self.seq?.wrapping_add(1)),
            NO_NUMBER => None,
            SAME_NUMBER => self.seq,
            _ => {
                let difference = unzigzag(read_number(bytes)?).cast_unsigned();
                Some(self.seq.unwrap_or_default().wrapping_add(difference))
            }
        };
        self.began = true;
        Some(())
    }

    fn read_full(&mut self, token: u8, expected: usize, bytes: &mut &[u8]) -> Option<(usize, Value)> {
        let place = if token & NEW != 0 {
            let (hash, rest) = bytes.split_first_chunk()?;
            *bytes = rest;
            self.add_if_new(self.columns.len(), u64::from_le_bytes(*hash));
            self.columns.len() - 1
        } else if token & EXPECTED != 0 {
            expected
        } else {
            usize::try_from(read_number(bytes)?).ok()?
        };
        let column = self.columns.get_mut(place)?;
        let value = match token >> KIND & 7 {
            LAST_HASH => Value::Hash(column.hash),
            HASH => {
                let (hash, rest) = bytes.split_first_chunk()?;
                (column.hash, *bytes) = (*hash, rest);
                Value::Hash(*hash)
            }
            scale => {
                if scale != column.scale {
                    (column.scale, column.mantissa) = (scale, 0);
                }
                column.give(unzigzag(read_number(bytes)?))
            }
        };
        Some((place, value))
    }

    /// The place of the metric that is expected next.
    fn expected(&self) -> usize {
        self.columns.get(self.last).map_or(0, |column| column.next)
    }

    fn add_if_new(&mut self, place: usize, metric: u64) -> bool {
        let is_new = place == self.columns.len();
        if is_new {
            self.columns.push(Column { metric, next: 0, scale: 0, mantissa: 0, hash: [0; HASH_BYTES] });
        }
        is_new
    }

    fn follow(&mut self, place: usize) {
        if let Some(column) = self.columns.get_mut(self.last) {
            column.next = place;
        }
        self.last = place;
    }
}

impl Column {
    /// How the next value is written: the kind where it has to be said, and what its mantissa has more than the last one.
    fn take(&mut self, value: Value, is_new: bool) -> (Option<u8>, Option<i64>) {
        match value {
            Value::Hash(hash) if hash == self.hash && !is_new => (Some(LAST_HASH), None),
            Value::Hash(hash) => {
                self.hash = hash;
                (Some(HASH), None)
            }
            Value::Decimal { mantissa, scale } if scale > self.scale || is_new => {
                (self.scale, self.mantissa) = (scale, mantissa);
                (Some(scale), Some(mantissa))
            }
            Value::Decimal { mantissa, scale } => {
                let mantissa = mantissa.wrapping_mul(10_i64.wrapping_pow((self.scale - scale).into()));
                let difference = mantissa.wrapping_sub(self.mantissa);
                self.mantissa = mantissa;
                (None, Some(difference))
            }
        }
    }

    /// The value whose mantissa has so much more than the last one.
    fn give(&mut self, difference: i64) -> Value {
        self.mantissa = self.mantissa.wrapping_add(difference);
        Value::normal(self.mantissa, self.scale.min(SCALE_MAX))
    }
}

fn write_short(number: u64, bytes: &mut Vec<u8>) {
    let low = (number & u64::from(MORE - 1)) as u8;
    match number >> 6 {
        0 => bytes.push(low),
        above => {
            bytes.push(MORE | low);
            write_number(above, bytes);
        }
    }
}

fn write_number(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let byte = take(bytes)?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn take(bytes: &mut &[u8]) -> Option<u8> {
    let (first, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(*first)
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -((number & 1).cast_signed())
}

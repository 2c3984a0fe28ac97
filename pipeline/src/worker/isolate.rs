//! Tries a frame that fails in halves, so that only the rows at fault are given up.

use std::ops::Range;

/// What came of a frame in pieces, in the order of its rows.
#[derive(Debug, PartialEq)]
pub(super) struct Isolated<T> {
    /// What the good pieces led to.
    pub(super) good: Vec<T>,
    /// The rows that fail even alone, each with its reason.
    pub(super) poison: Vec<(usize, String)>,
}

/// Tries `rows` rows in ever smaller pieces. `attempt` is called with ranges of rows, in order and
/// without overlap as far as they succeed; a range that fails is tried again as two.
pub(super) fn isolate<T>(
    rows: usize,
    mut attempt: impl FnMut(Range<usize>) -> Result<T, String>,
) -> Isolated<T> {
    let mut isolated = Isolated { good: Vec::new(), poison: Vec::new() };
    let mut left = Vec::new();
    left.push(0..rows);
    while let Some(piece) = left.pop() {
        match attempt(piece.clone()) {
            Ok(good) => isolated.good.push(good),
            Err(reason) if piece.len() <= 1 => isolated.poison.push((piece.start, reason)),
            Err(_) => {
                let middle = piece.start + piece.len() / 2;
                left.push(middle..piece.end);
                left.push(piece.start..middle);
            }
        }
    }
    isolated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rows: usize, poison: &[usize]) {
        let attempt = |piece: Range<usize>| match poison.iter().find(|row| piece.contains(row)) {
            Some(row) => Err(format!("row {row} is poisonous")),
            None => Ok(piece),
        };
        let isolated = isolate(rows, attempt);
        let good: Vec<usize> = isolated.good.into_iter().flatten().collect();
        let expected: Vec<usize> = (0..rows).filter(|row| !poison.contains(row)).collect();
        assert_eq!(good, expected, "every good row once, in order");
        assert_eq!(isolated.poison.iter().map(|(row, _)| *row).collect::<Vec<_>>(), poison);
    }

    #[test]
    fn only_the_rows_at_fault_are_given_up() {
        check(1, &[]);
        check(1, &[0]);
        check(7, &[3]);
        check(100, &[0, 1, 50, 99]);
        check(5, &[0, 1, 2, 3, 4]);
    }

    #[test]
    fn one_bad_row_costs_few_tries() {
        let mut tries = 0;
        isolate(1 << 16, |piece| {
            tries += 1;
            if piece.contains(&12_345) { Err(String::new()) } else { Ok(()) }
        });
        assert_eq!(tries, 1 + 2 * 16);
    }
}

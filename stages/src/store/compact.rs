//! Which small files of a partition are worth merging into a larger one.
//!
//! A file is rewritten only where it at least doubles, so each row is written anew a few times at the most, however many
//! files come in: the base 2 logarithm of how much smaller than [`CompactOptions::file_bytes_max`] its first file was.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::Xxh3;

/// So many hexadecimal digits of time begin the name of each file that store writes.
const TIME_DIGITS: usize = 14;

/// When files are merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompactOptions {
    /// How many small files there must be; fewer if they make a file that is not small any more, or if no more can be
    /// merged at once.
    pub files_min: usize,
    /// How many are merged at once.
    pub files_max: usize,
    /// The size that no merged file exceeds. Small is what has less than half of it.
    pub file_bytes_max: u64,
    /// How much memory the readers of files that are merged at once may take, in bytes.
    pub memory_bytes_max: u64,
    /// Whether to merge what can be merged, however much is rewritten for it.
    pub thorough: bool,
}

/// A file of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// Its name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// [`columns_id`](super::columns_id) of its rows: files with other columns are not merged with it.
    pub columns: u64,
    /// How much memory it takes to read it row by row, in bytes.
    pub memory_bytes: u64,
}

/// The sets of files that are to become one file each, as indices into `files`, each set in the order of names, which is
/// that of time.
pub fn merges(files: &[StoredFile], options: &CompactOptions) -> Vec<Vec<usize>> {
    let mut small: BTreeMap<u64, Vec<(u64, &str, usize)>> = BTreeMap::new();
    for (index, file) in files.iter().enumerate() {
        if file.bytes < options.file_bytes_max / 2 {
            small.entry(file.columns).or_default().push((file.bytes, &file.name, index));
        }
    }
    let mut sets = Vec::new();
    for alike in small.values_mut() {
        alike.sort_unstable();
        let mut rest = alike.as_mut_slice();
        while let Some(count) = options.worth(rest.iter().map(|(.., index)| &files[*index])) {
            let (set, others) = rest.split_at_mut(count);
            set.sort_unstable_by_key(|(_, name, _)| *name);
            sets.push(set.iter().map(|(.., index)| *index).collect());
            rest = others;
        }
    }
    sets
}

impl CompactOptions {
    /// How many of the smallest files, smallest first, are worth merging: the more the better.
    fn worth<'a>(&self, smallest: impl Iterator<Item = &'a StoredFile>) -> Option<usize> {
        let (mut bytes, mut memory, mut worth) = (0, 0, None);
        let mut smallest = smallest.take(self.files_max).enumerate().peekable();
        while let Some((index, file)) = smallest.next() {
            bytes += file.bytes;
            memory += file.memory_bytes;
            if bytes > self.file_bytes_max || memory > self.memory_bytes_max {
                break;
            }
            let count = index + 1;
            let doubles = file.bytes <= bytes / 2;
            // No more can be merged at once, however many come.
            let full = count == self.files_max
                || smallest
                    .peek()
                    .is_some_and(|(_, next)| memory + next.memory_bytes > self.memory_bytes_max);
            let enough = count >= self.files_min || bytes >= self.file_bytes_max / 2 || full;
            if count >= 2 && (self.thorough || (enough && doubles)) {
                worth = Some(count);
            }
        }
        worth
    }
}

/// The name of the file that files with these names become. It sorts where the newest of them was, and is another for any
/// other files: names never come again, so neither does this one.
pub fn merged_name<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let (mut hash, mut newest) = (Xxh3::new(), "");
    for name in names {
        hash.update(name.as_bytes());
        hash.update(b"/");
        newest = newest.max(name);
    }
    let time = newest.get(..TIME_DIGITS).filter(|time| time.bytes().all(|digit| digit.is_ascii_hexdigit()));
    let time = time.unwrap_or("00000000000000");
    format!("{time}-{:016x}-merged.parquet", hash.digest())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn options() -> CompactOptions {
        CompactOptions {
            files_min: 4,
            files_max: 16,
            file_bytes_max: 128,
            memory_bytes_max: MIB,
            thorough: false,
        }
    }

    /// Files of these sizes, in the order of their names.
    fn files(sizes: &[u64]) -> Vec<StoredFile> {
        let file = |(index, bytes): (usize, &u64)| StoredFile {
            name: format!("{index:014x}"),
            bytes: *bytes,
            columns: 0,
            memory_bytes: 0,
        };
        sizes.iter().enumerate().map(file).collect()
    }

    /// The sizes of the files of each set, in the order in which they are merged.
    #[track_caller]
    fn check(options: &CompactOptions, sizes: &[u64], expected: &[&[u64]]) {
        let sets = merges(&files(sizes), options);
        let sets: Vec<Vec<u64>> =
            sets.iter().map(|set| set.iter().map(|index| sizes[*index]).collect()).collect();
        assert_eq!(sets, expected, "of {sizes:?}");
    }

    #[test]
    fn small_files_are_merged_once_there_are_enough() {
        let options = options();
        check(&options, &[], &[]);
        check(&options, &[1, 1, 1], &[]);
        check(&options, &[1, 1, 1, 1], &[&[1, 1, 1, 1]]);
        check(&options, &[3, 1, 2, 1], &[&[3, 1, 2, 1]]);
        check(&options, &[1, 1, 1, 64, 200], &[]);
        check(&options, &[64, 1, 1, 200, 1, 1], &[&[1, 1, 1, 1]]);
    }

    #[test]
    fn a_file_is_rewritten_only_where_it_doubles() {
        let options = options();
        check(&options, &[8, 1, 1, 1], &[]);
        check(&options, &[8, 1, 1, 1, 1], &[&[1, 1, 1, 1]]);
        check(&options, &[8, 4, 1, 1, 1, 1], &[&[8, 4, 1, 1, 1, 1]]);
        check(&options, &[8, 1, 1, 1, 1, 1, 1, 1, 1], &[&[8, 1, 1, 1, 1, 1, 1, 1, 1]]);
        check(&options, &[60, 10, 10, 10, 10, 2, 1, 1, 1, 1], &[&[10, 10, 10, 10, 2, 1, 1, 1, 1]]);
    }

    #[test]
    fn files_that_fill_one_need_not_be_many() {
        let options = options();
        check(&options, &[40, 40, 40], &[&[40, 40, 40]]);
        check(&options, &[60, 60, 60], &[&[60, 60]]);
        check(&options, &[30, 30], &[]);
        check(&options, &[63, 1], &[]);
    }

    #[test]
    fn no_merged_file_exceeds_the_limits() {
        check(&options(), &[30; 9], &[&[30; 4], &[30; 4]]);
        check(&CompactOptions { files_max: 5, ..options() }, &[1; 12], &[&[1; 5], &[1; 5]]);
        let mut files = files(&[1; 8]);
        files.iter_mut().for_each(|file| file.memory_bytes = MIB / 5);
        assert_eq!(merges(&files, &options()), [vec![0, 1, 2, 3, 4]], "three are too few");
        files.iter_mut().for_each(|file| file.memory_bytes = MIB);
        assert_eq!(merges(&files, &options()), [[0; 0]; 0]);
    }

    #[test]
    fn more_files_than_can_be_merged_at_once_are_not_waited_for() {
        check(&CompactOptions { files_min: 20, ..options() }, &[1; 18], &[&[1; 16]]);
        let options = CompactOptions { files_min: 12, ..options() };
        let mut files = files(&[1; 11]);
        assert_eq!(merges(&files, &options), [[0; 0]; 0]);
        files.iter_mut().for_each(|file| file.memory_bytes = MIB / 5);
        assert_eq!(merges(&files, &options), [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]);
        assert_eq!(merges(&files[..5], &options), [[0; 0]; 0], "the next may take less");
        files.iter_mut().for_each(|file| file.memory_bytes = MIB);
        assert_eq!(merges(&files, &options), [[0; 0]; 0]);
    }

    #[test]
    fn files_with_other_columns_stay_apart() {
        let mut files = files(&[1; 8]);
        files.iter_mut().step_by(2).for_each(|file| file.columns = 1);
        assert_eq!(merges(&files, &options()), [[1, 3, 5, 7], [0, 2, 4, 6]]);
        files[0].columns = 2;
        assert_eq!(merges(&files, &options()), [[1, 3, 5, 7]]);
    }

    #[test]
    fn by_hand_all_is_merged_that_can_be() {
        let options = CompactOptions { thorough: true, ..options() };
        check(&options, &[1], &[]);
        check(&options, &[63, 1], &[&[63, 1]]);
        check(&options, &[8, 1, 1], &[&[8, 1, 1]]);
        check(&options, &[50, 60, 60], &[&[50, 60]]);
        check(&options, &[64, 64, 1], &[]);
    }

    #[test]
    fn little_is_rewritten_and_few_files_are_left_however_many_come() {
        let options = CompactOptions { file_bytes_max: MIB, files_min: 8, ..options() };
        let (mut partition, mut rewritten, mut most) = (Vec::new(), 0, 0);
        for come in 0..20_000_u64 {
            partition.push(10);
            let stored = files(&partition);
            for set in merges(&stored, &options) {
                let merged: u64 = set.iter().map(|index| partition[*index]).sum();
                rewritten += merged;
                let mut index = 0;
                partition.retain(|_| (!set.contains(&index), index += 1).0);
                partition.push(merged);
            }
            let small = partition.iter().filter(|bytes| **bytes < MIB / 2).count();
            most = most.max(small);
            assert_eq!(partition.iter().sum::<u64>(), (come + 1) * 10);
        }
        let times = rewritten as f64 / 200_000.0;
        assert!(times < 16.0, "each byte was written anew {times} times");
        assert!(most < 24, "{most} small files");
    }

    #[test]
    fn a_merged_file_sorts_where_its_newest_was_and_has_a_name_of_its_own() {
        let names = ["00064a1b2c3d4e-0a1b2c3d-0.parquet", "00064a1b2c3d4f-0a1b2c3d-0.parquet"];
        let merged = merged_name(names);
        assert!(names[1][..14] == merged[..14] && merged.ends_with("-merged.parquet"), "{merged}");
        let next = "00064a1b2c3d50-0a1b2c3d-0.parquet";
        assert!(merged.as_str() < next);
        assert_ne!(merged_name([merged.as_str(), names[0]]), merged);
        assert_eq!(merged_name(["renamed.parquet"])[..15], *"00000000000000-");
    }
}

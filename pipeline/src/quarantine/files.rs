//! Which files there are to read.
//!
//! Compaction may exchange a directory for one with other files and the same rows at any moment. So all files of a
//! directory are opened before the first is read: what is open stays readable, whoever removes its name. A file that is
//! gone before it could be opened means that the directory was exchanged, and it is listed again.

use std::{
    fs::{self, DirEntry, File},
    io,
    path::{Path, PathBuf},
};

use rustix::{
    io::Errno,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use stages::store::Partition;

use super::{QuarantineError, Span};

/// How often a directory is listed again before it is given up: far more often than anybody compacts meanwhile.
const LISTINGS_MAX: u32 = 1000;

/// The directories at and below `root` that may hold rows of `span`, in the order of time; none where there is no `root`.
pub(super) fn directories(root: &Path, span: Span) -> Result<Vec<PathBuf>, QuarantineError> {
    let mut found = Vec::new();
    if root.is_dir() {
        look(root, None, span, &mut found)?;
    }
    Ok(found)
}

fn look(
    directory: &Path,
    holds: Option<Partition>,
    span: Span,
    found: &mut Vec<PathBuf>,
) -> Result<(), QuarantineError> {
    found.push(directory.to_owned());
    for path in list(directory, |entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let partition = Partition::named(&name, holds);
        if partition.is_none_or(|partition| span.touches(partition)) {
            look(&path, partition.or(holds), span, found)?;
        }
    }
    Ok(())
}

/// The files in `directory`, open, by name: all of them as they were at one moment.
pub(super) fn open(directory: &Path) -> Result<Vec<(PathBuf, File)>, QuarantineError> {
    let is_file =
        |entry: &DirEntry| Path::new(&entry.file_name()).extension().is_some_and(|end| end == "parquet");
    let mut listings = 0;
    'list: loop {
        listings += 1;
        let paths = list(directory, is_file)?;
        let (mut opened, files) = (Vec::with_capacity(paths.len()), paths.len());
        for path in paths {
            match File::open(&path) {
                Ok(file) => opened.push((path, file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound && listings < LISTINGS_MAX => {
                    continue 'list;
                }
                Err(error) if error.raw_os_error() == Some(Errno::MFILE.raw_os_error()) => {
                    return Err(QuarantineError::TooManyFiles { path: directory.to_owned(), files });
                }
                Err(source) => return Err(QuarantineError::Io { action: "open", path, source }),
            }
        }
        return Ok(opened);
    }
}

/// What `wanted` picks of the entries of a directory, by name. Names that begin with a dot are not finished.
fn list(directory: &Path, wanted: impl Fn(&DirEntry) -> bool) -> Result<Vec<PathBuf>, QuarantineError> {
    let failed = |source| QuarantineError::Io { action: "list", path: directory.to_owned(), source };
    let mut paths = Vec::new();
    let entries = match fs::read_dir(directory) {
        // Somebody who keeps so many days has removed it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(paths),
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") && wanted(&entry) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// Lets this process open as many files as the system lets it.
pub(super) fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        // Without it, fewer files can be open; a directory with more says so.
        let _lower = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Read,
        sync::atomic::{AtomicBool, Ordering},
        thread,
    };

    use stages::frame::Micros;

    use super::*;

    const DAY: Micros = 86_400_000_000;

    #[test]
    fn directories_that_hold_nothing_of_the_span_are_passed_over() {
        let root = tempfile::tempdir().unwrap();
        for name in [
            "date=1970-01-01",
            "date=1970-01-02/hour=23",
            "date=1970-01-03",
            "month=1970-02",
            "other",
            ".tmp",
        ] {
            fs::create_dir_all(root.path().join(name)).unwrap();
        }
        let of = |since, until| {
            let found = directories(root.path(), Span { since, until }).unwrap();
            let name = |path: &PathBuf| path.strip_prefix(root.path()).unwrap().display().to_string();
            found.iter().map(name).filter(|name| !name.is_empty()).collect::<Vec<_>>()
        };
        let (first, second, third) = ("date=1970-01-01", "date=1970-01-02", "date=1970-01-03");
        let hour = "date=1970-01-02/hour=23";
        assert_eq!(of(None, None), [first, second, hour, third, "month=1970-02", "other"]);
        assert_eq!(of(Some(DAY), Some(2 * DAY - 1)), [second, hour, "other"]);
        assert_eq!(of(Some(DAY), Some(2 * DAY - DAY / 24)), [second, "other"]);
        assert_eq!(of(Some(2 * DAY), None), [third, "month=1970-02", "other"]);
        assert_eq!(
            directories(&root.path().join("none"), Span::default()).unwrap(),
            [""; 0].map(PathBuf::from)
        );
    }

    #[test]
    fn a_directory_that_is_exchanged_meanwhile_is_read_as_one_of_the_two() {
        use rustix::fs::{CWD, RenameFlags, renameat_with};

        let root = tempfile::tempdir().unwrap();
        let [many, one] = ["many", "one"].map(|name| root.path().join(name));
        fs::create_dir(&many).unwrap();
        fs::create_dir(&one).unwrap();
        for number in 0..20 {
            fs::write(many.join(format!("{number:02}.parquet")), "x").unwrap();
        }
        fs::write(one.join("all.parquet"), "x".repeat(20)).unwrap();
        fs::write(one.join(".all.parquet"), "never").unwrap();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    renameat_with(CWD, &many, CWD, &one, RenameFlags::EXCHANGE).unwrap();
                }
            });
            for _ in 0..2000 {
                let mut text = String::new();
                for (_, mut file) in open(&many).unwrap() {
                    file.read_to_string(&mut text).unwrap();
                }
                assert_eq!(text.len(), 20, "each row once");
            }
            done.store(true, Ordering::Relaxed);
        });
    }
}

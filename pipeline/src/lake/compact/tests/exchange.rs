//! Partitions before and after their files were merged.

use std::{cell::Cell, os::unix::fs::PermissionsExt, time::SystemTime};

use rustix::io::Errno;
use tokio::sync::watch;

use super::*;
use crate::{
    database::Database,
    lake::Intents,
    queue::{SqliteOptions, SqliteQueues},
};

#[test]
fn small_files_become_one() {
    let fixture = Fixture::with_files(5);
    fs::set_permissions(fixture.day(), fs::Permissions::from_mode(0o750)).unwrap();
    fs::set_permissions(fixture.file(0), fs::Permissions::from_mode(0o640)).unwrap();
    fs::write(fixture.day().join("README"), "somebody's").unwrap();
    let before: u64 = (0..5).map(|number| fixture.file(number).metadata().unwrap().len()).sum();
    let pass = fixture.pass();
    let [done] = pass.partitions.as_slice() else { panic!("{pass:?}") };
    assert_eq!((done.dataset, done.partition.as_str()), (Dataset::Readings, DAY));
    assert_eq!((done.merged, done.rows, done.before, done.after.0), (5, 5, (5, before), 1));
    let names = fixture.names();
    assert!(names.len() == 2 && names[0].starts_with(&name(4)[..14]), "{names:?}");
    let merged = fixture.day().join(&names[0]).metadata().unwrap();
    assert_eq!(done.after.1, merged.len());
    assert_eq!(merged.permissions().mode() & 0o777, 0o640);
    assert_eq!(fixture.day().metadata().unwrap().permissions().mode() & 0o777, 0o750);
    assert_eq!(fixture.numbers(), [0, 1, 2, 3, 4]);
    assert_eq!(fixture.old(), 1, "somebody may be reading its list");
    let stats = fixture.lake.meters().stats()[0].compact;
    assert_eq!((stats.partitions, stats.files, stats.rows, stats.bytes), (1, 5, 5, merged.len()));

    assert!(fixture.pass().partitions.is_empty(), "one file is not merged");
    (5..9).for_each(|number| fixture.add(number));
    fixture.pass();
    assert_eq!(fixture.names().len(), 2);
    assert_eq!(fixture.numbers(), Vec::from_iter(0..9));
}

#[test]
fn whoever_has_begun_to_list_a_partition_sees_each_row_once() {
    let fixture = Fixture::with_files(3);
    let list = fs::read_dir(fixture.day()).unwrap();
    fixture.pass();
    assert_eq!(list.count(), 3);
}

#[test]
fn a_dry_run_only_tells() {
    let fixture = Fixture::with_files(3);
    let world = Surroundings { intents: &|| Ok(Named::default()), is_stopping: &|| false };
    let pass = fixture.compactor().dry().pass(&Dataset::ALL, &world).0;
    assert_eq!((pass.partitions[0].before.0, pass.partitions[0].after.0), (3, 1));
    assert_eq!((fixture.names().len(), fixture.old()), (3, 0));
}

#[test]
fn files_that_an_intent_names_stay() {
    let mut fixture = Fixture::with_files(5);
    fixture.intents.paths = [1, 4, 7].map(|number| format!("{DAY}/{}", name(number))).into();
    let pass = fixture.pass();
    assert_eq!((pass.partitions.len(), pass.waiting), (1, 1));
    let names = fixture.names();
    assert!(names.len() == 3 && names.contains(&name(1)) && names.contains(&name(4)), "{names:?}");
    assert_eq!(fixture.numbers(), [0, 1, 2, 3, 4]);
}

#[test]
fn what_comes_meanwhile_is_taken_in() {
    let fixture = Fixture::with_files(3);
    fixture.pass_while(|| {
        if !fixture.file(3).exists() {
            fixture.add(3);
        }
    });
    assert_eq!(fixture.numbers(), [0, 1, 2, 3]);

    let (fixture, next) = (Fixture::with_files(3), Cell::new(3));
    fixture.pass_while(|| {
        if next.get() < 50 {
            fixture.add(next.get());
            next.set(next.get() + 1);
        }
    });
    assert!(next.get() < 10, "a pass ends while files come");
    assert_eq!(fixture.numbers(), Vec::from_iter(0..next.get()));

    let fixture = Fixture::with_files(3);
    fixture.pass_while(|| fs::create_dir_all(fixture.day().join("hour=01")).unwrap());
    assert_eq!(fixture.names().len(), 4, "another directory: left as it is");
    assert_eq!(fixture.old(), 0);
}

#[test]
fn what_goes_meanwhile_does_not_come_back() {
    let fixture = Fixture::with_files(4);
    let pass = fixture.pass_while(|| fs::remove_file(fixture.file(3)).or_else(ignore_gone).unwrap());
    assert!(pass.troubles.is_empty(), "{:?}", pass.troubles);
    assert_eq!(fixture.numbers(), [0, 1, 2]);

    let fixture = Fixture::with_files(2);
    fixture.pass_while(|| fs::remove_dir_all(fixture.day()).unwrap());
    assert!(!fixture.day().exists());
    assert_eq!(fixture.old(), 0);
}

fn ignore_gone(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

#[test]
fn files_of_others_and_broken_ones_are_left_alone_and_named() {
    let fixture = Fixture::with_files(3);
    let (cut, text) = (fixture.day().join("cut.parquet"), fixture.day().join("text.parquet"));
    let bytes = fs::read(fixture.file(0)).unwrap();
    fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    fs::write(&text, "not Parquet").unwrap();
    let foreign = fixture.day().join("foreign.parquet");
    let batch = readings(&[row(9)], &[]);
    let mut writer =
        ::parquet::arrow::ArrowWriter::try_new(File::create(&foreign).unwrap(), batch.schema(), None)
            .unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let pass = fixture.pass();
    assert_eq!(pass.partitions[0].merged, 3);
    assert_eq!(pass.troubles.len(), 3, "{:?}", pass.troubles);
    for path in [&cut, &text, &foreign] {
        let told = pass.troubles.iter().any(|told| told.starts_with(&path.display().to_string()));
        assert!(told && path.exists(), "{:?}", pass.troubles);
    }
}

#[test]
fn a_file_that_breaks_off_in_the_middle_does_not_keep_others_from_being_merged() {
    let fixture = Fixture::with_files(4);
    let mut bytes = fs::read(fixture.file(2)).unwrap();
    bytes[4..60].fill(0xff);
    fs::write(fixture.file(2), &bytes).unwrap();
    let pass = fixture.pass();
    assert_eq!((pass.partitions[0].merged, pass.troubles.len()), (3, 1), "{:?}", pass.troubles);
    assert_eq!(fs::read(fixture.file(2)).unwrap(), bytes);
}

#[test]
fn what_is_merged_beside_a_file_that_breaks_off_is_not_merged_again() {
    let fixture = Fixture::with_files(3);
    for number in 3..6 {
        write(Dataset::Readings, &fixture.file(number), readings(&[row(number)], &["site".to_owned()]));
    }
    let mut bytes = fs::read(fixture.file(5)).unwrap();
    bytes[4..60].fill(0xff);
    fs::write(fixture.file(5), &bytes).unwrap();
    let asked = Cell::new(0);
    let intents = || {
        asked.set(asked.get() + 1);
        Ok(Named::default())
    };
    let world = Surroundings { intents: &intents, is_stopping: &|| false };
    let mut compactor = Compactor::new(fixture.lake.clone(), options(3, 1 << 30, false));
    let (pass, ended) = compactor.pass(&Dataset::ALL, &world);
    ended.unwrap();
    assert_eq!((pass.partitions[0].merged, pass.troubles.len()), (3, 1), "{:?}", pass.troubles);
    assert_eq!(asked.get(), 2, "once to clean up, once to merge");
}

#[test]
fn trouble_in_one_place_is_told_from_that_of_all() {
    let fixture = Fixture::with_files(1);
    let (day, staging) = (fixture.day(), fixture.lake.staging());
    let io = |errno: Errno, path: &Path| LakeError::io("use", path)(errno.into());
    let encoding = |errno: Errno| fixture.lake.unwritten(DAY, io::Error::from(errno).into());
    let is_of_one = |error: LakeError| error.is_of_one_place(&fixture.lake);
    for errno in [Errno::IO, Errno::XDEV, Errno::PERM, Errno::NOENT] {
        assert!(is_of_one(io(errno, &day)) && is_of_one(encoding(errno)), "{errno}");
        assert!(!is_of_one(io(errno, &staging)), "{errno}");
    }
    for errno in [Errno::NOSPC, Errno::DQUOT, Errno::ROFS, Errno::MFILE] {
        assert!(!is_of_one(io(errno, &day)) && !is_of_one(encoding(errno)), "{errno}");
    }
    fs::remove_dir_all(&staging).unwrap();
    assert!(!is_of_one(io(Errno::NOENT, &staging.join("compact-x"))));
}

#[test]
fn a_settled_partition_is_not_listed_and_a_gone_one_forgotten() {
    let fixture = Fixture::with_files(1);
    let hour = std::time::Duration::from_secs(3600);
    File::open(fixture.day()).unwrap().set_modified(SystemTime::now() - hour).unwrap();
    let mut compactor = fixture.compactor();
    let world = Surroundings { intents: &|| Ok(Named::default()), is_stopping: &|| false };
    let pass = |compactor: &mut Compactor| compactor.pass(&Dataset::ALL, &world).1.unwrap();
    pass(&mut compactor);
    let found = listing::partitions(&fixture.lake, Dataset::Readings, &compactor.settled);
    assert_eq!((found.partitions, found.settled), (vec![], vec![fixture.day()]));
    fixture.add(1);
    let found = listing::partitions(&fixture.lake, Dataset::Readings, &compactor.settled);
    assert_eq!((found.partitions.len(), found.settled.len()), (1, 0), "something came");
    fs::remove_dir_all(fixture.day()).unwrap();
    pass(&mut compactor);
    assert!(compactor.settled.is_empty());
}

#[test]
fn rows_with_other_columns_stay_apart() {
    let fixture = Fixture::with_files(2);
    for number in [2, 3] {
        write(Dataset::Readings, &fixture.file(number), readings(&[row(number)], &["site".to_owned()]));
    }
    fixture.pass();
    assert_eq!(fixture.names().len(), 2);
    assert_eq!(fixture.numbers(), [0, 1, 2, 3]);
}

#[test]
fn a_partition_with_directories_is_left_alone() {
    let fixture = Fixture::with_files(3);
    let hour = fixture.day().join("hour=00");
    for number in 0..3 {
        write(Dataset::Readings, &hour.join(name(number)), readings(&[row(number)], &[]));
    }
    let pass = fixture.pass();
    assert_eq!(pass.partitions[0].partition, format!("{DAY}/hour=00"));
    assert_eq!((pass.partitions.len(), fixture.names().len()), (1, 4));
    assert_eq!(fs::read_dir(hour).unwrap().count(), 1);
}

#[test]
fn one_merges_at_a_time() {
    let fixture = Fixture::with_files(3);
    let one = fixture.compactor();
    let held = one.lock().unwrap();
    let world = Surroundings { intents: &|| Ok(Named::default()), is_stopping: &|| false };
    let error = fixture.compactor().pass(&Dataset::ALL, &world).1.unwrap_err().to_string();
    assert!(error.starts_with(&format!("process {} merges files", process::id())), "{error}");
    drop(held);
    assert_eq!(fixture.pass().partitions.len(), 1);
}

#[test]
fn a_partition_waits_for_who_links_and_who_links_for_the_exchange() {
    let fixture = Fixture::with_files(3);
    let lock = fixture.lake.staging().join(lock::LINKS);
    let linking = lock::shared(&lock, std::time::Duration::ZERO).unwrap();
    assert!(fixture.pass().partitions.is_empty());
    assert_eq!((fixture.names().len(), fixture.old()), (3, 0));
    drop(linking);

    let exchanging = lock::exclusive(&lock, std::time::Duration::ZERO).unwrap();
    let mut staging = fixture.lake.stage("roll").unwrap();
    let file = staging.create("0").unwrap();
    let error = staging.publish("0", &file, &format!("{DAY}/late.parquet")).unwrap_err();
    assert!(matches!(error, LakeError::Locked { .. }), "{error}");
    drop(exchanging);
    staging.publish("0", &file, &format!("{DAY}/late.parquet")).unwrap();
}

#[test]
fn what_was_left_by_the_dead_is_removed_when_its_time_has_come() {
    let mut fixture = Fixture::new();
    let old = SystemTime::now() - std::time::Duration::from_secs(2 * 3600);
    let stage = |name: &str, age: SystemTime| {
        let path = fixture.lake.staging().join(name);
        fs::create_dir(&path).unwrap();
        fs::write(path.join("0"), "rows").unwrap();
        File::open(&path).unwrap().set_modified(age).unwrap();
        path
    };
    let orphan = stage("00064a1b2c3d4e-0a1b2c3d", old);
    let open = stage("00064a1b2c3d4f-0a1b2c3d", old);
    let young = stage("00064a1b2c3d50-0a1b2c3d", SystemTime::now());
    let foreign = stage("somebodys", old);
    let exchanged = stage("compact-x", old);
    fixture.intents.rolls = ["00064a1b2c3d4f-0a1b2c3d".to_owned()].into();
    fixture.pass();
    assert!(!orphan.exists());
    assert!(open.exists() && young.exists() && foreign.exists());
    assert!(exchanged.exists(), "what counts is when it was exchanged");
}

#[tokio::test]
async fn what_was_left_is_removed_at_a_start_also_where_nothing_is_merged() {
    let fixture = Fixture::new();
    let orphan = fixture.lake.staging().join("00064a1b2c3d4e-0a1b2c3d");
    fs::create_dir(&orphan).unwrap();
    let old = SystemTime::now() - std::time::Duration::from_secs(2 * 3600);
    File::open(&orphan).unwrap().set_modified(old).unwrap();
    let database = Database::open(&fixture.root.path().join("millstream.db")).unwrap();
    let queues = SqliteQueues::open(database, SqliteOptions::default()).await.unwrap();
    let (_stop, stopping) = watch::channel(false);
    let by_itself =
        crate::lake::Compactor::new(crate::lake::Lake::open(fixture.root.path()).unwrap(), 2, 1 << 30, true);
    CompactTask::new(by_itself, Intents::Sqlite(queues), None, stopping).run().await.unwrap();
    assert!(!orphan.exists());
}

//! Bytes in the data file that nobody of ours has written.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use rusqlite::Connection;
use tests::{Child, Ended, Site, lake};

use crate::QUICK;

const PAGE: u64 = 8192;

fn data_file(site: &Site) -> PathBuf {
    site.data().join("millstream.db")
}

/// A site with many messages in the first queue, and nothing that runs. They are so large that frames are longer than a
/// page, however few messages come together in one.
fn with_backlog() -> Site {
    let site = Site::new(QUICK);
    let ingest = site.run(&["ingest"]);
    let large = ["--messages", "2000", "--samples", "50", "--rate", "0", "--devices", "50"];
    site.fleet(large).ended().well();
    ingest.terminate();
    ingest.ended().well();
    site
}

/// Asserts that it ended with an error that names the file and the way out.
fn tells(site: &Site, ended: Ended) {
    let ended = ended.with(1);
    let said = ended.err.join("\n");
    assert!(said.contains(&data_file(site).display().to_string()), "{said}");
    assert!(said.contains("docs/guarantees.md"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

/// Overwrites bytes of pages.
fn overwrite(site: &Site, pages: impl IntoIterator<Item = u64>, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(data_file(site)).unwrap();
    for page in pages {
        file.write_all_at(bytes, page * PAGE).unwrap();
    }
}

fn pages(site: &Site) -> u64 {
    fs::metadata(data_file(site)).unwrap().len() / PAGE
}

#[test]
fn damaged_pages_end_the_process_before_anything_of_them_is_stored() {
    // From the first pages, with the tables, to those with the bytes of frames.
    for first in [1, 8, 30] {
        let site = with_backlog();
        let all = pages(&site);
        assert!(all > 60, "{all} pages");
        overwrite(&site, first..all, &[0xA5; PAGE as usize]);
        tells(&site, Child::start(site.up_command()).ended());
        assert_eq!(lake::files(&site.lake()).len(), 0);
    }
}

/// SQLite takes the bytes of a row as they are: to it one that a disk has changed looks as if somebody had written it.
#[test]
fn a_changed_digit_in_a_frame_is_noticed() {
    let site = with_backlog();
    let file = Connection::open(data_file(&site)).unwrap();
    let find = "SELECT seq, bytes FROM body ORDER BY seq DESC LIMIT 1";
    let (seq, mut bytes): (i64, Vec<u8>) =
        file.query_row(find, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let changed = file.execute("UPDATE body SET bytes = ?2 WHERE seq = ?1", (seq, &bytes));
    assert_eq!(changed.unwrap(), 1);
    drop(file);
    let ended = Child::start(site.up_command()).ended();
    assert!(ended.said("the checksum of a frame does not fit") > 0, "{ended:?}");
    tells(&site, ended);
    let quarantine = site.lake().join("quarantine");
    assert!(!lake::files(&site.lake()).iter().any(|file| file.starts_with(&quarantine)));
}

#[test]
fn a_frame_whose_bytes_are_gone_is_noticed() {
    let site = with_backlog();
    let file = Connection::open(data_file(&site)).unwrap();
    assert_eq!(file.execute("DELETE FROM body WHERE seq = (SELECT max(seq) FROM body)", []).unwrap(), 1);
    drop(file);
    let ended = Child::start(site.up_command()).ended();
    assert!(ended.said("the bytes of a frame are gone") > 0, "{ended:?}");
    tells(&site, ended);
}

#[test]
fn a_damaged_dead_letter_is_not_put_back_and_can_be_dropped() {
    let site = with_backlog();
    let file = Connection::open(data_file(&site)).unwrap();
    let dead = "INSERT INTO dead (queue, lane, id, rows, published_at, attempts, reason, died_at, bytes, sum)
        SELECT queue, lane, id, frame.rows, published_at, 5, 'by hand', published_at, zeroblob(9), sum
        FROM frame JOIN body USING (seq) LIMIT 1";
    assert_eq!(file.execute(dead, []).unwrap(), 1);
    let dead = |arguments: &[&str]| {
        let mut command = site.millstream("dead");
        command.args(arguments);
        Child::start(command).ended()
    };
    for command in [["show", "1"], ["requeue", "1"]] {
        let ended = dead(&command).with(1);
        let said = ended.err.join("\n");
        assert!(
            said.contains("the checksum of dead letter 1 (let it go by `dead drop 1`) does not fit"),
            "{said}"
        );
    }
    dead(&["drop", "1"]).well();
    assert_eq!(file.query_row("SELECT count(*) FROM dead", [], |row| row.get(0)), Ok(0));
}

#[test]
fn damage_while_a_process_runs_ends_who_reads_it_and_the_lake_stays() {
    let site = Site::new(QUICK);
    let up = site.up();
    site.replay(lake::series()).ended().well();
    site.wait_until_dry();
    up.terminate();
    up.ended().well();
    let stored = lake::files(&site.lake());
    // More than a process has in memory of the file.
    let ingest = site.run(&["ingest"]);
    site.fleet(["--messages", "4000", "--rate", "0", "--devices", "50"]).ended().well();
    ingest.terminate();
    ingest.ended().well();
    let ingest = site.run(&["ingest"]);
    overwrite(&site, 30..pages(&site), &[0x5A; PAGE as usize]);
    let mut validate = site.millstream("run");
    validate.arg("validate");
    tells(&site, Child::start(validate).ended());
    drop(ingest);
    assert_eq!(lake::files(&site.lake()), stored);

    // The way out: another data directory, and the same lake.
    fs::rename(site.data(), site.path("damaged")).unwrap();
    fs::create_dir(site.data()).unwrap();
    fs::rename(site.path("damaged/lake"), site.lake()).unwrap();
    let up = site.up();
    site.fleet(["--messages", "500", "--rate", "0"]).ended().well();
    site.wait_until_dry();
    up.terminate();
    up.ended().well();
    let all = lake::files(&site.lake());
    assert!(stored.iter().all(|file| all.contains(file)) && all.len() > stored.len());
}

/// Of the write-ahead log, <https://www.sqlite.org/fileformat2.html#walformat>.
const LOG_HEADER: u64 = 32;
const FRAME_HEADER: u64 = 24;

/// The salt of a log, and how many of its pages are in use: one that begins anew keeps its length, and what it had behind.
fn used(log: &Path) -> (Vec<u8>, u64) {
    let bytes = fs::read(log).unwrap();
    let salt = bytes[16..24].to_vec();
    let frames = bytes[LOG_HEADER as usize..].chunks_exact((FRAME_HEADER + PAGE) as usize);
    let used = frames.take_while(|frame| frame[8..16] == salt).count() as u64;
    (salt, used)
}

/// A process that was killed leaves its last commits in the log. What is damaged there SQLite takes for the end of it.
#[test]
fn a_damaged_log_ends_where_the_damage_begins() {
    for damage in [Damage::Truncated, Damage::Garbage] {
        let site = Site::new(QUICK);
        let ingest = site.run(&["ingest"]);
        let log = site.data().join("millstream.db-wal");
        let before = used(&log);
        // One after the other, so that each is in commits of its own, however few a busy machine makes.
        for seed in ["1", "2", "3", "4", "5"] {
            site.fleet(["--messages", "100", "--rate", "1000", "--seed", seed]).ended().well();
        }
        ingest.kill();
        let after = used(&log);
        // Of what has come with the messages: the tables are whole. A log that began anew has only messages.
        let first = if after.0 == before.0 { before.1 } else { 0 };
        let half = LOG_HEADER + (first + (after.1 - first) / 2) * (FRAME_HEADER + PAGE);
        let file = OpenOptions::new().write(true).open(&log).unwrap();
        match damage {
            Damage::Truncated => file.set_len(half).unwrap(),
            Damage::Garbage => file.write_all_at(&[0xA5; 4096], half).unwrap(),
        }
        let up = site.up();
        site.wait_until_dry();
        let stored = lake::query(&site.lake(), "SELECT count(*) AS n FROM 'readings/**/*.parquet'");
        let stored = stored[0]["n"].as_u64().unwrap();
        assert!((1..4 * 500).contains(&stored), "{stored}: some, and none that is not whole");
        up.terminate();
        up.ended().well();
    }
}

enum Damage {
    Truncated,
    Garbage,
}

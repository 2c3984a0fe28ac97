//! What interrupted workers and finished exchanges leave in staging.

use std::{
    collections::HashSet,
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    super::{LakeError, directory::Directory},
    swap,
};
use crate::failpoint::fail_point;

/// An exchanged directory stays for so long, for who had begun to read its list: that of a directory whose files go
/// meanwhile may end early, and nobody would notice.
pub const GRACE: Duration = Duration::from_secs(10);

/// A directory of a roll without an intent is nobody's after so long: the worker that makes one commits its intent next,
/// before the first file in it. What it holds cannot come into the lake any more.
const ORPHANED: Duration = Duration::from_secs(3600);

/// Removes what is there for nothing. Only under the lock of those who merge.
pub(super) fn sweep(lake: &Directory, rolls: &HashSet<String>) -> Result<(), LakeError> {
    let staging = lake.staging();
    let entries = fs::read_dir(&staging).map_err(LakeError::io("list", &staging))?;
    for entry in entries {
        let entry = entry.map_err(LakeError::io("list", &staging))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(metadata) = entry.metadata() else { continue };
        let removed = if !metadata.is_dir() {
            None
        } else if name.starts_with(swap::PREFIX) {
            is_past(moved(&metadata), GRACE).then(|| fs::remove_dir_all(entry.path()))
        } else if is_roll(&name) && !rolls.contains(&name) {
            let changed = metadata.modified().is_ok_and(|changed| is_past(changed, ORPHANED));
            changed.then(|| fs::remove_dir_all(entry.path()))
        } else {
            None
        };
        if removed.is_some() {
            fail_point!("compact_remove");
        }
        match removed {
            Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => {
                return Err(LakeError::io("remove", &entry.path())(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// When a directory was last moved, such as by being exchanged.
fn moved(metadata: &Metadata) -> SystemTime {
    let seconds = u64::try_from(metadata.ctime()).unwrap_or_default();
    let nanos = u32::try_from(metadata.ctime_nsec()).unwrap_or_default();
    UNIX_EPOCH + Duration::new(seconds, nanos)
}

/// Whether `instant` is so long ago; or to come, by a clock that was set.
fn is_past(instant: SystemTime, age: Duration) -> bool {
    SystemTime::now().duration_since(instant).unwrap_or_else(|error| error.duration()) >= age
}

/// Whether a roll may be called so: 14 digits of time, a dash, 8 of its frames.
fn is_roll(name: &str) -> bool {
    name.split_once('-').is_some_and(|(time, frames)| {
        let digits = |text: &str| text.bytes().all(|digit| digit.is_ascii_hexdigit());
        time.len() == 14 && frames.len() == 8 && digits(time) && digits(frames)
    })
}

//! A small disk of its own, which can be full or read-only.

use std::{
    ffi::CString,
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};

use crate::until;

/// A file system in memory; dropping it takes it away, whoever has files open there.
pub struct Disk {
    root: PathBuf,
}

impl Disk {
    /// A disk of so many MiB in this directory, which is made.
    ///
    /// # Panics
    /// When nothing may be mounted.
    pub fn at(root: PathBuf, mib: u32) -> Self {
        fs::create_dir_all(&root).unwrap();
        let size = CString::new(format!("size={mib}m")).unwrap();
        let mounted = mount("tmpfs", &root, "tmpfs", MountFlags::empty(), size.as_c_str());
        if let Err(error) = mounted {
            panic!(
                "cannot mount a tmpfs on {}: {error}; be root, or run the tests in a namespace where you are: \
                 unshare --map-root-user --mount tests/run.sh",
                root.display()
            );
        }
        Self { root }
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Fills what room there is.
    ///
    /// # Panics
    /// When that fails otherwise than for want of room.
    pub fn fill(&self) {
        let mut ballast = File::create(self.ballast()).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            let zeros = vec![0; size];
            loop {
                match ballast.write(&zeros) {
                    Ok(1..) => {}
                    Ok(0) => break,
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
                        break;
                    }
                }
            }
        }
    }

    /// Gives the room back that was filled.
    ///
    /// # Panics
    /// When that fails.
    pub fn make_room(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    /// From now on nothing can be written, as soon as no file is open for it; or it can again.
    ///
    /// # Panics
    /// When there always is such a file.
    pub fn read_only(&self, read_only: bool) {
        let flags = if read_only { MountFlags::RDONLY } else { MountFlags::empty() };
        until("the disk is mounted anew", || mount_remount(&self.root, flags, "").is_ok());
    }

    fn ballast(&self) -> PathBuf {
        self.root.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What is left of it goes with the last open file.
        let _unmounted = unmount(&self.root, UnmountFlags::DETACH);
    }
}

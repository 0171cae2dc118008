//! Which file is at a path.

#[cfg(unix)]
use std::fs;
use std::path::{Path, PathBuf};

#[cfg(target_os = "linux")]
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

/// The identity of a file, independent of its name; `None` if there is no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::queue::file) struct FileId(Option<(u64, u64)>);

impl FileId {
    pub(in crate::queue::file) fn is_none(self) -> bool {
        self.0.is_none()
    }

    pub(in crate::queue::file) fn of(path: &Path) -> Self {
        // Asks only for the inode number: since Linux 6.13, a file whose times were queried gets new ones with the next
        // write, finer than the ticks of the clock, and each sync has to write them to the disk too.
        #[cfg(target_os = "linux")]
        if let Ok(file) = statx(CWD, path, AtFlags::empty(), StatxFlags::INO) {
            let device = u64::from(file.stx_dev_major) << 32 | u64::from(file.stx_dev_minor);
            return Self(Some((device, file.stx_ino)));
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            Self(fs::metadata(path).ok().map(|file| (file.dev(), file.ino())))
        }
        // Other systems do not let an open file be replaced.
        #[cfg(not(unix))]
        Self(path.exists().then_some((0, 0)))
    }
}

/// Returns the path of the log that SQLite keeps for this database.
pub(in crate::queue::file) fn log_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

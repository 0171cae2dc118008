//! Finds or creates the folder of a queue, and sets the permissions of its files.
//!
//! Only the user who creates them can access the files and folders that pulpo creates. In a setgid folder the group can
//! too, with the permissions that the folder gives it: so programs of several users share a queue, whatever their umask
//! is. See `docs/running.md`.
//!
//! # Invariants
//! The entry of each new folder and file is on the disk before anything is created below it, so that a power cut cannot
//! remove an acknowledged message together with its folder.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::queue::QueueError;

/// The name of the database in its folder.
pub const FILE_NAME: &str = "queue.db";

/// Finds the database in this folder, and creates nothing.
pub(in crate::queue::file) fn existing(base_path: &Path) -> Result<PathBuf, QueueError> {
    let file = base_path.join(FILE_NAME);
    match fs::metadata(&file) {
        // Another process may be about to create a queue in an empty file.
        Ok(found) if found.is_file() && found.len() == 0 => Err(no_queue(base_path)),
        Ok(found) if found.is_dir() => {
            Err(QueueError::NotAQueue { place: file.display().to_string(), found: "a folder".to_owned() })
        }
        Ok(_) => Ok(file),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Err(no_queue(base_path))
        }
        Err(error) => Err(unavailable("open the file", &file, error)),
    }
}

pub(in crate::queue::file) fn no_queue(base_path: &Path) -> QueueError {
    QueueError::NoQueue { place: base_path.display().to_string() }
}

/// Creates the folder and an empty file for the database, if they are missing.
pub(in crate::queue::file) fn prepare(base_path: &Path) -> Result<PathBuf, QueueError> {
    let file = base_path.join(FILE_NAME);
    if file.is_file() {
        return Ok(file);
    }
    make_folder(base_path).map_err(|error| unavailable("create the folder", base_path, error))?;
    open_file(&file).map_err(|error| cannot_open(&file, error))?;
    sync(base_path).map_err(|error| unavailable("sync the folder of", &file, error))?;
    Ok(file)
}

/// Creates the folder and its missing parents.
pub(in crate::queue::file) fn make_folder(folder: &Path) -> io::Result<()> {
    let above = folder.parent().unwrap_or(Path::new("."));
    if folder.is_dir() || folder.as_os_str().is_empty() {
        // The process that created it may not have synced it yet.
        return sync(above);
    }
    make_folder(above)?;
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(folder) {
        Ok(()) => share(folder, 0o2070)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
        Err(error) => return Err(error),
    }
    sync(above)
}

/// Opens the file that pulpo keeps at this path, and nothing else that may be there: no link is followed, and no pipe or
/// device is waited for.
pub(in crate::queue::file) fn open_own(options: &mut fs::OpenOptions, path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt as _;
        options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    }
    let file = options.open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "expected a regular file"))
    }
}

/// Opens one of pulpo's own files for writing, and creates it if it is missing.
pub(in crate::queue::file) fn open_or_make(path: &Path) -> io::Result<File> {
    open_or_make_by(path, open_own)
}

/// Opens a file for writing, and creates it if it is missing. It may be a link to a file elsewhere.
fn open_file(path: &Path) -> io::Result<File> {
    open_or_make_by(path, |options, path| options.open(path))
}

fn open_or_make_by(path: &Path, open: impl Fn(&mut fs::OpenOptions, &Path) -> io::Result<File>) -> io::Result<File> {
    let mut options = fs::OpenOptions::new();
    options.write(true);
    match open(&mut options, path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => return opened,
    }
    options.create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match open(&mut options, path) {
        Ok(file) => {
            share(path, 0o060)?;
            Ok(file)
        }
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => open(fs::OpenOptions::new().write(true), path),
        Err(error) => Err(error),
    }
}

/// Gives a file that was just created the same permissions as its folder, limited to `permissions`, if the folder is
/// setgid. Not through the mode at creation, since the umask is subtracted from that.
fn share(path: &Path, permissions: u32) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mode = fs::metadata(above)?.permissions().mode();
        if mode & 0o2000 != 0 {
            let own = fs::metadata(path)?.permissions().mode();
            fs::set_permissions(path, fs::Permissions::from_mode(own & 0o700 | mode & permissions))?;
        }
    }
    #[cfg(not(unix))]
    let _ = (path, permissions);
    Ok(())
}

/// Syncs the entries of a folder to the disk.
pub(in crate::queue::file) fn sync(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        match File::open(folder).and_then(|folder| folder.sync_all()) {
            // A folder that we may not read existed before us, and is on the disk.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            // A file system with nothing to sync, such as `/proc`.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
            synced => synced?,
        }
    }
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// Returns the error for a file that could not be opened or created.
pub(in crate::queue::file) fn cannot_open(path: &Path, error: io::Error) -> QueueError {
    // It may exist where we have no access.
    let is_missing = path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    unavailable(if is_missing { "create the file" } else { "open the file" }, path, error)
}

pub(in crate::queue::file) fn unavailable(verb: &str, path: &Path, error: io::Error) -> QueueError {
    let doing = format!("{verb} {}", path.display());
    match error.kind() {
        io::ErrorKind::StorageFull => QueueError::Full { doing },
        io::ErrorKind::PermissionDenied => QueueError::Unavailable { doing, source: Box::new(Denied(error)) },
        _ => QueueError::Unavailable { doing, source: Box::new(error) },
    }
}

/// The remedy for a user who shares a queue with another user.
pub(in crate::queue::file) const NEEDS: &str = "this user needs to read and write the file and its folder; users of one group share a \
     queue in a folder that is theirs, `chmod g+rwxs`";

#[derive(Debug, thiserror::Error)]
#[error("{0}; {NEEDS}")]
struct Denied(io::Error);

#[cfg(test)]
mod tests;

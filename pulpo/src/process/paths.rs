//! Paths from a configuration. They are kept as the system gives them, which need not be text, and made absolute when
//! they are read: a program that later changes its folder keeps using the same files.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

/// Returns the absolute path, without accessing the disk: links stay as they are.
///
/// # Errors
/// If the path is empty, or it is relative and the current folder is gone.
pub(crate) fn absolute(path: &Path) -> io::Result<PathBuf> {
    std::path::absolute(path)
}

/// Returns the rest after this prefix, which need not be text.
pub(crate) fn after<'a>(text: &'a OsStr, prefix: &str) -> Option<&'a OsStr> {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt as _;
        text.as_bytes().strip_prefix(prefix.as_bytes()).map(OsStr::from_bytes)
    }
    #[cfg(not(unix))]
    text.to_str()?.strip_prefix(prefix).map(OsStr::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_taken_from_the_current_folder_and_not_resolved() {
        let here = std::env::current_dir().expect("a folder");
        assert_eq!(absolute(Path::new("./a/../b")).expect("a path"), here.join("a/../b"));
        assert_eq!(absolute(Path::new("/a/b")).expect("a path"), Path::new("/a/b"));
        assert!(absolute(Path::new("")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_is_not_text_is_kept() {
        use std::os::unix::ffi::OsStrExt as _;
        let text = OsStr::from_bytes(b"file:/q/\xff");
        assert_eq!(after(text, "file:").map(OsStr::as_bytes), Some(b"/q/\xff".as_slice()));
        assert_eq!(after(text, "memory:"), None);
    }
}

//! Backups: the whole content of a queue in a file.

use super::harness::Harness;
use super::steps::{HarnessExt as _, message};
use crate::queue::QueueError;

pub(super) fn a_backup_is_a_new_file_of_the_size_that_is_said(harness: &dyn Harness) {
    harness.put(message("x"));
    let folder = std::env::temp_dir().join(format!("pulpo-backup-{:016x}", fastrand::u64(..)));
    std::fs::create_dir(&folder).expect("a folder");
    let file = folder.join("copy");
    let written = harness.queue().backup(&file);
    if !harness.queue().capabilities().backups {
        assert!(matches!(written, Err(QueueError::Unsupported(_))), "{written:?}");
        assert!(!file.exists());
    } else {
        let size = written.expect("backup");
        assert_eq!(file.metadata().expect("the file").len(), size);
        let again = harness.queue().backup(&file);
        assert!(matches!(again, Err(QueueError::Exists { .. })), "{again:?}");
        assert_eq!(file.metadata().expect("the file").len(), size);
        let nowhere = harness.queue().backup(&folder.join("nowhere/copy"));
        assert!(nowhere.is_err());
    }
    std::fs::remove_dir_all(&folder).expect("removed");
}

//! Backups: the whole content of a queue in a file.

use super::harness::Harness;
use super::steps::{ConsumerExt as _, HarnessExt as _, delay, message};
use crate::queue::{Filter, QueueError, Settlement, StoredMessage};

pub(super) fn a_backup_is_a_new_file_of_the_reported_size(harness: &dyn Harness) {
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

pub(super) fn a_backup_has_the_whole_content(harness: &dyn Harness) {
    if !harness.queue().capabilities().backups {
        return;
    }
    let mut consumer = harness.consumer();
    harness.put(message("buried"));
    let delivery = consumer.take();
    consumer.settle(&delivery.lease, &mut Settlement::bury("fatal", true)).expect("bury");
    harness.put(message("reserved"));
    let reserved = consumer.take();
    harness.put(delay(message(&"long ".repeat(100_000)), harness.in_seconds(600)));
    harness.put(message("ready"));
    let folder = std::env::temp_dir().join(format!("pulpo-backup-{:016x}", fastrand::u64(..)));
    std::fs::create_dir(&folder).expect("a folder");
    let file = folder.join("copy");
    harness.queue().backup(&file).expect("backup");
    let before = harness.queue().list(&Filter::all()).expect("list");
    // Later changes are not in it.
    consumer.settle(&reserved.lease, &mut Settlement::commit()).expect("commit");
    harness.queue().delete(&Filter::all()).expect("delete");
    if let Some(copy) = harness.restore(&file) {
        let view = |stored: StoredMessage| (stored.id, stored.text, stored.state, stored.attempts, stored.last_error);
        let restored = copy.list(&Filter::all()).expect("list");
        let (restored, before): (Vec<_>, Vec<_>) =
            (restored.into_iter().map(view).collect(), before.into_iter().map(view).collect());
        assert_eq!(before.len(), 4);
        assert!(restored == before, "the copy has other messages");
    }
    std::fs::remove_dir_all(&folder).expect("removed");
}

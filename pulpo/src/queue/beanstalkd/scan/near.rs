//! Finds a few old jobs among many ids. The server shows the first job of each state and tube without being asked for an
//! id, and what is buried together mostly has ids close to each other. So the ids around the shown ones come first, and
//! a scan of all ids only if jobs are missing then.

use std::collections::BTreeSet;

use super::found::Notes;
use super::ids::{Page, Top, note_ids};
use crate::queue::beanstalkd::connection::Connection;
use crate::queue::beanstalkd::fault::Fault;
use crate::queue::beanstalkd::job::JobStats;
use crate::queue::beanstalkd::protocol::Commands;
use crate::queue::beanstalkd::queries::{ask_each, read_job, texts};

/// How far around the shown ids to search: the second is tried if the first was not enough.
const WIDTHS: [u64; 2] = [256, 4096];

/// The maximum number of jobs to search for like this.
pub(super) const MOST_JOBS: u64 = 1000;

/// The maximum number of ids to ask for in one try. Of fewer than some times as many, a scan takes no longer.
const MOST_IDS: u64 = 16_384;

/// Returns the ids of the jobs that are wanted, the newest first; `None` if it has not found all `count` of them. `most`
/// is the maximum number of ids that a whole list may ask for.
pub(super) fn jobs(
    connection: &mut Connection,
    is_wanted: impl Fn(&JobStats) -> bool,
    shown: &[u64],
    count: u64,
    (top, most): (Top, u64),
) -> Result<Option<Vec<u64>>, Fault> {
    if shown.is_empty() || count > MOST_JOBS || top.id < 4 * MOST_IDS {
        return Ok(None);
    }
    for width in WIDTHS {
        if shown.len() as u64 * (2 * width + 1) > MOST_IDS.min(most / 4) {
            break;
        }
        let page = ask(connection, &around(shown, width))?;
        let wanted = page.into_iter().filter(|(_, job)| job.as_ref().is_some_and(&is_wanted));
        let found: Vec<u64> = wanted.map(|(id, _)| id).collect();
        if found.len() as u64 >= count {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Adds all `count` notes, if they follow closely on the oldest one. All others were put after it, so they have greater
/// ids. Returns whether it has found all.
pub(super) fn notes(
    connection: &mut Connection,
    oldest: u64,
    count: u64,
    (top, most): (Top, u64),
    notes: &mut Notes,
) -> Result<bool, Fault> {
    for width in WIDTHS {
        if count > MOST_JOBS.min(width) || width > most / 4 || top.id < oldest.saturating_add(4 * width) {
            continue;
        }
        let ids: Vec<u64> = (oldest..=oldest.saturating_add(width)).rev().collect();
        let found = note_ids(&ask(connection, &ids)?);
        if found.len() as u64 >= count {
            texts(connection, &found, |id, text| notes.add(id, &text))?;
            return Ok(true);
        }
    }
    Ok(false)
}

fn ask(connection: &mut Connection, ids: &[u64]) -> Result<Page, Fault> {
    let mut page = Page::with_capacity(ids.len());
    let stats = |commands: &mut Commands, id: &u64| _ = commands.stats_job(*id);
    ask_each(connection, ids, stats, |id, answer| {
        page.push((*id, read_job(*id, answer)?));
        Ok(())
    })?;
    Ok(page)
}

/// Returns the ids that are at most this far from one of those shown, the newest first.
fn around(shown: &[u64], width: u64) -> Vec<u64> {
    let near = |id: &u64| id.saturating_sub(width).max(1)..=id.saturating_add(width);
    let ids: BTreeSet<u64> = shown.iter().flat_map(near).collect();
    ids.into_iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_id_around_those_shown_is_asked_for_once() {
        assert_eq!(around(&[2, 3, 10], 2), [12, 11, 10, 9, 8, 5, 4, 3, 2, 1]);
        assert_eq!(around(&[u64::MAX], 1), [u64::MAX, u64::MAX - 1]);
        assert!(around(&[], 2).is_empty());
    }
}

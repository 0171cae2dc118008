//! Where claims begin while dead rows cannot be removed.
//!
//! A message that is leased leaves an entry behind in the index of ready
//! messages. Claims mark such entries as dead and vacuum removes them, unless an
//! older transaction may still see the row. A forgotten transaction pins all of
//! them, and each claim would walk over every message that has come since. So
//! once a claim has walked over many entries, the next claims begin where the
//! last one found its first message, and claims from the front take only a small
//! part of the time. Messages that come to lie before that place (urgent ones
//! and retries) wait for a claim from the front.

use std::collections::HashMap;
use std::time::Duration;

/// More dead entries than this make a claim slow: it takes some milliseconds.
const MANY: usize = 10_000;

/// Claims from the front may take one part in this many of the time.
const SHARE: u32 = 20;

/// A walk takes at most this long, plus [`A_STEP`] for each entry. A claim that
/// took longer was slow for another reason, such as a busy server, which must not
/// make an urgent message wait.
const A_CLAIM: Duration = Duration::from_millis(100);

/// Several times what an idle server takes to walk over one entry.
const A_STEP: Duration = Duration::from_micros(2);

/// A position in the order of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) priority: i64,
    pub(super) id: i64,
}

impl Place {
    /// Before all messages.
    pub(super) const FRONT: Self = Self { priority: -1, id: 0 };
}

/// Where the last claims found their first messages.
#[derive(Debug, Default)]
pub(super) struct Floors {
    places: HashMap<String, Place>,
    /// Whether the last claim from the front that found a message had to walk
    /// over many dead entries.
    is_slow: bool,
    /// When the next claim from the front may come, in uptime.
    front_at: Duration,
}

impl Floors {
    /// Returns whether the next claim begins at these places, not at the front.
    pub(super) fn hold(&self, now: Duration) -> bool {
        self.is_slow && now < self.front_at
    }

    /// Returns where claims of this queue begin.
    pub(super) fn of(&self, queue: &str) -> Place {
        self.places.get(queue).copied().unwrap_or(Place::FRONT)
    }

    /// Returns the time until the next claim from the front.
    pub(super) fn left(&self, now: Duration) -> Duration {
        self.front_at.saturating_sub(now)
    }

    /// Records a claim: the first message of each queue, how many messages it
    /// leased, and over how many entries of the index it walked.
    pub(super) fn note(&mut self, firsts: Vec<(String, Place)>, leased: usize, walked: usize) {
        if leased > 0 {
            self.places.extend(firsts);
            self.is_slow |= walked > leased.saturating_add(MANY);
        }
    }

    /// Records a claim from the front, which took this long.
    pub(super) fn note_front(
        &mut self,
        firsts: Vec<(String, Place)>,
        leased: usize,
        walked: usize,
        now: Duration,
        took: Duration,
    ) {
        if leased > 0 {
            self.is_slow = false;
        }
        self.note(firsts, leased, walked);
        let walk = A_STEP.saturating_mul(u32::try_from(walked).unwrap_or(u32::MAX));
        let took = took.min(A_CLAIM.saturating_add(walk));
        self.front_at = now.saturating_add(took.saturating_mul(SHARE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn first(id: i64) -> Vec<(String, Place)> {
        vec![("mail".to_owned(), Place { priority: 7, id })]
    }

    #[test]
    fn a_claim_begins_at_the_front_unless_many_dead_entries_lie_there() {
        let mut floors = Floors::default();
        assert!(!floors.hold(Duration::ZERO));
        floors.note_front(first(5), 1, 300, SECOND, SECOND / 10);
        assert!(!floors.hold(SECOND), "300 entries are soon walked over");
        floors.note_front(first(6), 1, 300_000, SECOND, SECOND / 10);
        assert!(floors.hold(SECOND));
        assert_eq!(floors.of("mail"), Place { priority: 7, id: 6 });
        assert_eq!(floors.of("other"), Place::FRONT);
        floors.note(first(9), 4, 4);
        assert_eq!(floors.of("mail").id, 9);
        assert_eq!(floors.left(SECOND), 2 * SECOND);
        assert!(!floors.hold(3 * SECOND), "the front has its turn");
        floors.note_front(Vec::new(), 0, 0, 3 * SECOND, SECOND / 10);
        assert!(floors.hold(3 * SECOND), "nothing that was found says nothing of dead entries");
        floors.note_front(first(10), 1, 1, 6 * SECOND, SECOND / 1000);
        assert!(!floors.hold(6 * SECOND), "they are gone");
        floors.note_front(first(11), 1, 50_000, 7 * SECOND, 5 * SECOND);
        assert_eq!(floors.left(7 * SECOND), 4 * SECOND, "the server was busy with something else");
        floors.note_front(first(12), 1, 10_000_000, 20 * SECOND, 5 * SECOND);
        assert_eq!(floors.left(20 * SECOND), 100 * SECOND, "it walked for a long time");
    }
}

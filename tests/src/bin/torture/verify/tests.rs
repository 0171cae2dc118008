use super::*;
use crate::ledger::{Event, Ledger};

/// Returns the violations in a ledger with these entries, each by a process.
fn wrongs(entries: Vec<(&str, Event)>) -> Vec<String> {
    wrongs_on(scene::Kind::File, entries)
}

fn wrongs_on(queue: scene::Kind, entries: Vec<(&str, Event)>) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    crate::ledger::prepare(folder.path()).expect("a folder of ledgers");
    for (process, event) in entries {
        Ledger::open(folder.path(), process).expect("a ledger").write(event);
    }
    let history = History::read(folder.path()).expect("a history");
    let report = all(&history, queue, folder.path()).expect("a report");
    report.violations.iter().for_each(|violation| assert!(!violation.way.is_empty(), "{violation:?}"));
    report.violations.into_iter().map(|violation| violation.what).collect()
}

#[test]
fn a_violation_shows_the_run_before_in_its_lane_and_the_faults_around_it() {
    let fault = |process: &str| {
        let fault = Event::Fault { process: process.to_owned(), fault: Fault::Pause };
        ("driver", fault)
    };
    let end = Event::End { key: "b".to_owned(), lane: 0, call: 0, then: Then::Succeed };
    let killed = Event::ServerKilled { server: Some("x:1".to_owned()) };
    let folder = tempfile::tempdir().expect("a folder");
    crate::ledger::prepare(folder.path()).expect("a folder of ledgers");
    let job = [published(Kind::FailTwice), run("w", Kind::FailTwice, 1, FAILED)].concat();
    for (process, event) in [vec![("w", end)], job, vec![fault("w"), fault("v"), ("driver", killed)]].concat() {
        Ledger::open(folder.path(), process).expect("a ledger").write(event);
    }
    let history = History::read(folder.path()).expect("a history");
    let report = all(&history, scene::Kind::Servers, folder.path()).expect("a report");
    let violation = report.violations.iter().find(|violation| violation.key.as_deref() == Some("a")).expect("one");
    let expected = [
        "p: Publishing",
        "p: Published",
        "the lane before: ",
        "w: Start",
        "w: End",
        r#"driver: Fault { process: "w""#,
        r#"driver: ServerKilled { server: Some("x:1")"#,
    ];
    assert_eq!(violation.way.len(), expected.len(), "{violation:?}");
    for (line, expected) in violation.way.iter().zip(expected) {
        assert!(line.contains(expected), "expected {expected}, got {line}");
    }
}

fn published(kind: Kind) -> Vec<(&'static str, Event)> {
    let (key, id) = ("a".to_owned(), "1".to_owned());
    vec![("p", Event::Publishing { key: key.clone(), kind }), ("p", Event::Published { key, id })]
}

/// Returns the entries of one whole run.
fn run(process: &'static str, kind: Kind, attempt: u32, then: Option<Then>) -> Vec<(&'static str, Event)> {
    let (id, attempt) = (Some("1".to_owned()), Some(attempt));
    let start = Event::Start { key: "a".to_owned(), kind, id, attempt, lane: 0, call: 1 };
    let end = then.map(|then| (process, Event::End { key: "a".to_owned(), lane: 0, call: 1, then }));
    std::iter::once((process, start)).chain(end).collect()
}

fn buried(reason: &str) -> Vec<(&'static str, Event)> {
    let (key, id, reason) = ("a".to_owned(), "1".to_owned(), Some(reason.to_owned()));
    vec![("driver", Event::Buried { key, id, attempts: 0, reason })]
}

fn gone(process: &str) -> Vec<(&'static str, Event)> {
    vec![("driver", Event::Gone { process: process.to_owned(), how: "signal 9".to_owned() })]
}

const DONE: Option<Then> = Some(Then::Succeed);
const FAILED: Option<Then> = Some(Then::Fail);

#[test]
fn a_correct_life_is_not_a_violation() {
    let done = [published(Kind::Succeed), run("w", Kind::Succeed, 1, DONE)].concat();
    assert_eq!(wrongs(done), [""; 0]);
    let killed =
        [published(Kind::Succeed), run("w", Kind::Succeed, 1, None), gone("w"), run("x", Kind::Succeed, 2, DONE)];
    assert_eq!(wrongs(killed.concat()), [""; 0]);
    let fatal = [published(Kind::Fatal), run("w", Kind::Fatal, 1, Some(Then::Fatal)), buried("no luck with a")];
    assert_eq!(wrongs(fatal.concat()), [""; 0]);
    // Its producer died while publishing it, and it was never seen again.
    assert_eq!(wrongs(published(Kind::Succeed)[..1].to_vec()), [""; 0]);
}

#[test]
fn a_job_without_an_end_is_lost() {
    let lost = "lost: it is in no queue and has not come to its end";
    assert_eq!(wrongs(published(Kind::Succeed)), [lost]);
    assert_eq!(wrongs([published(Kind::FailTwice), run("w", Kind::FailTwice, 1, FAILED)].concat()), [lost]);
    assert_eq!(wrongs([published(Kind::Fatal), run("w", Kind::Fatal, 1, Some(Then::Fatal))].concat()), [lost]);
    let childless = [published(Kind::Parent), run("w", Kind::Parent, 1, DONE)].concat();
    assert_eq!(wrongs(childless), ["lost: it was done, and what it published was not"]);
}

#[test]
fn a_job_that_is_still_there_is_stranded() {
    let left = Event::Left { key: "a".to_owned(), id: "1".to_owned(), state: "reserved".to_owned() };
    let all = [published(Kind::Succeed), vec![("driver", left)]].concat();
    assert_eq!(wrongs(all), ["stranded: it is still reserved"]);
}

#[test]
fn a_run_too_many_needs_a_kill() {
    let twice = |more| {
        let again = run("x", Kind::Succeed, 2, DONE);
        [published(Kind::Succeed), run("w", Kind::Succeed, 1, DONE), more, again].concat()
    };
    let wrong = wrongs(twice(Vec::new()));
    assert!(wrong.len() == 1 && wrong[0].starts_with("it ran again at "), "{wrong:?}");
    assert_eq!(wrongs(twice(gone("w"))), [""; 0]);
    // Its lane had continued with another job, so this one was settled.
    let start = Event::Start { key: "b".to_owned(), kind: Kind::Succeed, id: None, attempt: None, lane: 0, call: 2 };
    let end = Event::End { key: "b".to_owned(), lane: 0, call: 2, then: Then::Succeed };
    let went_on = twice([vec![("w", start), ("w", end)], gone("w")].concat());
    // Where commits may be deferred, it may have been unsettled for a moment.
    assert_eq!(wrongs_on(scene::Kind::File, went_on.clone()), [""; 0]);
    let wrong = wrongs_on(scene::Kind::Beanstalkd, went_on);
    assert!(wrong.len() == 1 && wrong[0].starts_with("it ran again at "), "{wrong:?}");
}

#[test]
fn attempts_go_up_by_one() {
    let runs = |first, second| {
        let runs = [run("w", Kind::FailTwice, first, FAILED), run("x", Kind::FailTwice, second, FAILED)].concat();
        [published(Kind::FailTwice), runs, run("y", Kind::FailTwice, second + 1, DONE)].concat()
    };
    assert_eq!(wrongs(runs(1, 2)), [""; 0]);
    assert_eq!(wrongs(runs(1, 1)), ["expected attempt 2 or more after 1, got 1"]);
    for (first, second) in [(1, 3), (2, 3)] {
        let wrong = wrongs(runs(first, second));
        assert_eq!(wrong[0], "1 attempts more than its runs, and 0 kills and pauses in that time");
    }
    // One death costs a job at most one attempt.
    let after_a_death = |second| {
        let first = [published(Kind::FailTwice), run("w", Kind::FailTwice, 1, FAILED), gone("w")].concat();
        wrongs([first, run("x", Kind::FailTwice, second, DONE)].concat())
    };
    assert_eq!(after_a_death(3), [""; 0]);
    assert_eq!(after_a_death(4), ["2 attempts more than its runs, and 1 kills and pauses in that time"]);
    let wrong = wrongs([runs(1, 2), gone("w"), run("z", Kind::FailTwice, 101, DONE)].concat());
    assert!(wrong.contains(&"expected at most 100 attempts, got 101".to_owned()), "{wrong:?}");
}

#[test]
fn a_burial_has_the_true_reason() {
    let reasons =
        |kind, then, reason| wrongs([published(kind), run("w", kind, 1, Some(then)), buried(reason)].concat());
    let wrong = reasons(Kind::Fatal, Then::Fatal, "panicked: no luck with a");
    assert!(wrong[0].starts_with("buried with a reason that is not its own"), "{wrong:?}");
    assert_eq!(reasons(Kind::Succeed, Then::Fail, "x"), ["buried in place of done: Some(\"x\")"]);
    // None of its workers died.
    let wrong = reasons(Kind::FailAlways, Then::Fail, "its worker died 3 times");
    assert!(wrong[0].starts_with("buried with a reason that is not its own"), "{wrong:?}");
}

#[test]
fn a_refused_publication_is_not_there() {
    let refused = Event::Refused { key: "a".to_owned(), why: String::new() };
    let all = [vec![("p", refused)], run("w", Kind::Succeed, 1, DONE)].concat();
    assert_eq!(wrongs(all), ["its publication was refused, and yet it is there"]);
}

#[test]
fn a_publication_makes_one_message() {
    let mut all = [published(Kind::Succeed), run("w", Kind::Succeed, 1, DONE), run("w", Kind::Succeed, 1, DONE)];
    if let (_, Event::Start { id, .. }) = &mut all[2][0] {
        *id = Some("2".to_owned());
    }
    assert_eq!(wrongs(all.concat()), ["Succeed became 2 messages in place of 1"]);
}

#[test]
fn at_a_beanstalkd_an_attempt_without_a_run_needs_a_lane_that_was_free() {
    let verdict = |busy: u32, unseen: u32, trouble: Vec<(&'static str, Event)>| {
        let lane = |lane| {
            let (key, id) = (format!("b{lane}"), Some(format!("b{lane}")));
            ("worker0.1", Event::Start { key, kind: Kind::Child, id, attempt: Some(1), lane, call: 1 })
        };
        // The jobs that the others held run again.
        let again = |lane| {
            let (key, id) = (format!("b{lane}"), Some(format!("b{lane}")));
            let start = Event::Start { key: key.clone(), kind: Kind::Child, id, attempt: Some(2), lane, call: 1 };
            [("worker1.1", start), ("worker1.1", Event::End { key, lane, call: 1, then: Then::Succeed })]
        };
        let before = [published(Kind::FailTwice), run("worker1.1", Kind::FailTwice, 1, FAILED)].concat();
        let after = run("worker1.1", Kind::FailTwice, 2 + unseen, DONE);
        let busy_lanes = (0..busy).map(lane).collect();
        let again = (0..busy).flat_map(again).collect();
        wrongs_on(scene::Kind::Beanstalkd, [before, busy_lanes, trouble, again, after].concat())
    };
    assert_eq!(verdict(3, 1, gone("worker0.1")), [""; 0]);
    let expected = "1 attempts without a run, ";
    let wrong = verdict(4, 1, gone("worker0.1"));
    assert!(wrong.len() == 1 && wrong[0].starts_with(expected), "{wrong:?}");
    let wrong = verdict(2, 2, gone("worker0.1"));
    assert!(wrong.iter().any(|wrong| wrong.starts_with(expected)), "one death costs a job one attempt: {wrong:?}");
    let wrong = verdict(0, 1, Vec::new());
    assert!(wrong.iter().any(|wrong| wrong.starts_with(expected)), "{wrong:?}");
    // A producer takes no job.
    let wrong = verdict(0, 1, gone("producer0.1"));
    assert!(wrong.iter().any(|wrong| wrong.starts_with(expected)), "{wrong:?}");
    let killed = vec![("driver", Event::ServerKilled { server: None }), ("driver", Event::ServerGone)];
    assert_eq!(verdict(4, 1, killed), [""; 0]);
}

/// Each death may cost as many jobs an attempt as lanes were free, but not every one of many does.
#[test]
fn at_a_beanstalkd_deaths_cost_one_attempt_each_on_average() {
    let verdict = |deaths: usize, unseen: usize| {
        let mut all = Vec::new();
        for job in 0..unseen {
            let (key, id) = (format!("a{job}"), Some(format!("a{job}")));
            all.push(("p", Event::Publishing { key: key.clone(), kind: Kind::Succeed }));
            all.push(("p", Event::Published { key: key.clone(), id: key.clone() }));
            let start =
                Event::Start { key: key.clone(), kind: Kind::Succeed, id, attempt: Some(2), lane: 0, call: job as u64 };
            let end = Event::End { key, lane: 0, call: job as u64, then: Then::Succeed };
            all.extend([("worker9.1", start), ("worker9.1", end)]);
        }
        for death in ["worker0.1", "worker1.1", "worker2.1"].into_iter().take(deaths) {
            all.extend(gone(death));
        }
        let folder = tempfile::tempdir().expect("a folder");
        crate::ledger::prepare(folder.path()).expect("a folder of ledgers");
        for (process, event) in all {
            Ledger::open(folder.path(), process).expect("a ledger").write(event);
        }
        let history = History::read(folder.path()).expect("a history");
        let report = super::all(&history, scene::Kind::Beanstalkd, folder.path()).expect("a report");
        (report.most_unseen, report.violations.into_iter().map(|violation| violation.what).collect::<Vec<_>>())
    };
    assert_eq!(verdict(1, 4), (5, Vec::new()));
    assert_eq!(verdict(3, 7), (7, Vec::new()));
    assert_eq!(verdict(3, 8), (7, vec!["8 attempts without a run, in place of 7 at most".to_owned()]));
}

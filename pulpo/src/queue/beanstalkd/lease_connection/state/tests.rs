//! Tests which results calls get, answer by answer.

use super::*;
use crate::queue::beanstalkd::lease_connection::Want;

const STATS: &str = "---\nid: 1\ntube: a\nstate: reserved\npri: 1\nage: 0\ndelay: 0\nttr: 60\ntime-left: 59\nfile: 0\n\
                     reserves: 1\ntimeouts: 0\nreleases: 0\nburies: 0\nkicks: 0\n";

fn tubes(names: &[&str]) -> Arc<[String]> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn state() -> State {
    State::new(Duration::from_secs(1))
}

/// Enters a call that waits for a job of these tubes until this time.
fn call(state: &mut State, names: &[&str], more: usize, until: Duration) -> u64 {
    let want = Want { tubes: tubes(names), more, wait: until };
    state.enter(Call::Wait(Waiting::new(1, want, until))).0
}

/// Returns the commands that are sent now, as text.
fn send(state: &mut State, now: Duration) -> String {
    state.plan(now);
    String::from_utf8(state.commands_to_send().0.bytes().to_vec()).unwrap()
}

fn none(state: &mut State, number: u64, now: Duration) -> bool {
    matches!(state.waiting(number, now), Progress::Done(Ok(None)))
}

fn job(state: &mut State, number: u64, now: Duration) -> bool {
    matches!(state.waiting(number, now), Progress::Done(Ok(Some(_))))
}

/// Has the server hand out a job of the tube a.
fn hand_out(state: &mut State, id: u64, now: Duration) {
    state.arrived(Answer::Reserved { id, text: Vec::new() }, now).unwrap();
}

const START: Duration = Duration::from_secs(100);

#[test]
fn an_answer_to_an_earlier_call_does_not_say_that_there_is_no_job() {
    let mut state = state();
    let first = call(&mut state, &["a"], 2, START);
    assert_eq!(send(&mut state, START).matches("reserve-with-timeout 0").count(), 3);
    state.arrived(Answer::Watching, START).unwrap();
    state.arrived(Answer::Watching, START).unwrap();
    state.arrived(Answer::TimedOut, START).unwrap();
    assert!(none(&mut state, first, START));
    state.remove(first);
    // Two answers are still to come when a message is published, and then:
    let second = call(&mut state, &["a"], 0, START);
    let sent = send(&mut state, START);
    state.arrived(Answer::TimedOut, START).unwrap();
    assert!(!none(&mut state, second, START));
    state.arrived(Answer::TimedOut, START).unwrap();
    assert!(!none(&mut state, second, START));
    let sent = sent + &send(&mut state, START);
    assert_eq!(sent, "reserve-with-timeout 0\r\n");
    hand_out(&mut state, 1, START);
    assert_eq!(send(&mut state, START), "stats-job 1\r\n");
    state.arrived(Answer::Told(STATS.into()), START).unwrap();
    assert!(job(&mut state, second, START));
}

#[test]
fn a_check_without_some_tubes_says_nothing_to_a_call_with_them() {
    let mut state = state();
    let (narrow, wide) = (call(&mut state, &["a"], 0, START), call(&mut state, &["a", "b"], 0, START));
    send(&mut state, START);
    for answer in [Answer::Watching, Answer::Watching, Answer::TimedOut] {
        state.arrived(answer, START).unwrap();
    }
    assert!(none(&mut state, narrow, START));
    assert!(!none(&mut state, wide, START));
    // The other tube, and the request.
    for answer in [Answer::Watching, Answer::TimedOut] {
        state.arrived(answer, START).unwrap();
    }
    assert!(none(&mut state, wide, START));
}

#[test]
fn a_call_asks_elsewhere_while_the_server_waits_for_an_earlier_one() {
    let mut state = state();
    let patient = call(&mut state, &["a"], 0, START + Duration::from_secs(9));
    assert!(send(&mut state, START).ends_with("reserve-with-timeout 1\r\n"));
    state.arrived(Answer::Watching, START).unwrap();
    state.arrived(Answer::Watching, START).unwrap();
    let brief = call(&mut state, &["a"], 0, START);
    let Progress::Ask { tubes: asked, asked_by } = state.waiting(brief, START) else { panic!("expected a question") };
    assert_eq!(asked, tubes(&["a"]));
    // One arrived after the request, whose answer proves nothing to it.
    let later = call(&mut state, &["a"], 0, START);
    state.none_ready(&asked, asked_by, START);
    assert!(none(&mut state, brief, START));
    state.remove(brief);
    assert!(matches!(state.waiting(later, START), Progress::Ask { .. }));
    // There is a job, and the server has given another one to the first call.
    assert!(!matches!(state.waiting(later, START), Progress::Done(_) | Progress::Ask { .. }));
    hand_out(&mut state, 1, START);
    assert_eq!(send(&mut state, START), "stats-job 1\r\nreserve-with-timeout 0\r\n");
    state.arrived(Answer::Told(STATS.into()), START).unwrap();
    assert!(job(&mut state, patient, START));
    state.remove(patient);
    assert!(!none(&mut state, later, START));
    hand_out(&mut state, 2, START);
    send(&mut state, START);
    state.arrived(Answer::Told(STATS.replace("id: 1", "id: 2").into()), START).unwrap();
    assert!(job(&mut state, later, START));
}

#[test]
fn an_interrupt_ends_a_wait_at_the_server_without_another_question() {
    let mut state = state();
    let consumer = call(&mut state, &["a"], 0, START + Duration::from_secs(9));
    send(&mut state, START);
    state.interrupt();
    assert!(none(&mut state, consumer, START));
}

#[test]
fn a_call_that_wants_many_takes_part_in_checks_that_are_on_their_way() {
    let mut state = state();
    let first = call(&mut state, &["a"], 9, START);
    assert_eq!(send(&mut state, START).matches("reserve-with-timeout 0").count(), 10);
    state.arrived(Answer::Watching, START).unwrap();
    state.arrived(Answer::Watching, START).unwrap();
    hand_out(&mut state, 1, START);
    send(&mut state, START);
    for _ in 0..9 {
        state.arrived(Answer::TimedOut, START).unwrap();
    }
    state.arrived(Answer::Told(STATS.into()), START).unwrap();
    assert!(job(&mut state, first, START));
    state.remove(first);
    call(&mut state, &["a"], 3, START);
    assert_eq!(send(&mut state, START).matches("reserve-with-timeout 0").count(), 4);
    call(&mut state, &["a"], 0, START);
    // Four are asked for, although five are wanted.
    assert_eq!(send(&mut state, START).matches("reserve-with-timeout 0").count(), 1);
}

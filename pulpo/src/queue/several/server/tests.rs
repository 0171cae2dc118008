use super::*;

fn error() -> QueueError {
    QueueError::Draining { place: "a".to_owned() }
}

fn rest(state: &State, now: Duration) -> Duration {
    state.away.as_ref().expect("it is away").until - now
}

#[test]
fn a_rest_doubles_with_each_failure_and_is_short_after_a_good_while() {
    let (mut state, mut now, at_once) = (State::default(), Duration::from_secs(60), Duration::ZERO);
    for expected in [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000] {
        state.goes_away(&error(), at_once, now);
        assert_eq!(rest(&state, now), Duration::from_millis(expected));
        now += rest(&state, now);
    }
    // It was back for a moment only.
    (state.away, state.back_at) = (None, now);
    state.goes_away(&error(), at_once, now + Duration::from_secs(1));
    assert_eq!(rest(&state, now + Duration::from_secs(1)), LONGEST_REST);
    (state.away, state.back_at) = (None, now);
    now += LONGEST_REST;
    state.goes_away(&error(), at_once, now);
    assert_eq!(rest(&state, now), SHORTEST_REST);
}

#[test]
fn a_server_that_fails_late_is_slow_and_one_under_two_names_is_left_out() {
    let health = Health::default();
    let goes_away = |error: &QueueError, took| lock(&health.state).goes_away(error, took, Duration::ZERO);
    assert!(health.objection().is_none() && !health.is_away());
    goes_away(&error(), Duration::ZERO);
    assert!(health.is_away() && health.objection().is_none(), "it may be asked, which takes no time");
    goes_away(&error(), SLOW);
    assert!(health.objection().is_some() && !health.is_left_out());
    goes_away(&QueueError::Rejected { doing: "use b".to_owned(), source: "it is a".into() }, Duration::ZERO);
    assert!(health.is_left_out());
    let told = chain(&health.objection().expect("a reason"));
    assert_eq!(told, "cannot use b: retrying will not help: it is a");
}

#[test]
fn a_server_that_refuses_publications_is_asked_after_the_others_and_is_not_away() {
    let health = Health::default();
    lock(&health.state).refusals.until = Duration::from_secs(5);
    assert_eq!([4, 5].map(|now| health.rank(Duration::from_secs(now))), [Rank::Refusing, Rank::Ready]);
    assert!(!health.is_away());
    lock(&health.state).goes_away(&error(), Duration::ZERO, Duration::ZERO);
    assert_eq!(health.rank(Duration::ZERO), Rank::Away);
}

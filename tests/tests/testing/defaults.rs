//! The queue that `pulpo::publish` uses in a test, and the ones that it never uses.

use std::thread;

use pulpo::testing::TestPulpo;
use pulpo::{PublishError, SetupError};

use crate::jobs::{SendEmail, email};

fn is_refused(result: Result<pulpo::Message<SendEmail>, PublishError>) -> bool {
    let Err(PublishError::Setup(source)) = result else { return false };
    matches!(source.downcast_ref(), Some(SetupError::OutsideOfTest))
}

#[test]
fn it_is_the_test_s_own_on_its_thread() {
    let pulpo = TestPulpo::new();
    pulpo::publish(email("a")).unwrap();
    pulpo::publish_all(["b", "c"].map(email)).unwrap();
    assert_eq!(pulpo.published::<SendEmail>().len(), 3);
}

#[test]
fn another_thread_never_reaches_a_real_queue() {
    let pulpo = TestPulpo::new();
    assert!(is_refused(thread::spawn(|| pulpo::publish(email("x"))).join().unwrap()));
    thread::scope(|scope| {
        scope.spawn(|| {
            let in_test = pulpo.enter();
            pulpo::publish(email("x")).unwrap();
            drop(in_test);
            assert!(is_refused(pulpo::publish(email("y"))));
        });
    });
    assert_eq!(pulpo.published::<SendEmail>().len(), 1);
    assert!(!std::path::Path::new("pulpo-data").exists());
}

#[test]
fn it_ends_with_the_test() {
    drop(TestPulpo::new());
    assert!(is_refused(pulpo::publish(email("x"))));
}

#[test]
fn the_last_one_that_lives_is_it() {
    let first = TestPulpo::new();
    let second = TestPulpo::new();
    pulpo::publish(email("second")).unwrap();
    let again = first.enter();
    pulpo::publish(email("first")).unwrap();
    drop(again);
    pulpo::publish(email("second")).unwrap();
    drop(second);
    pulpo::publish(email("first")).unwrap();
    assert_eq!(first.published::<SendEmail>().iter().filter(|m| m.body().to == "first").count(), 2);
}

#[test]
fn a_guard_of_an_earlier_test_takes_nothing_from_a_later_one() {
    let earlier = TestPulpo::new();
    let guard = earlier.enter();
    drop(earlier);
    let (other, later) = (TestPulpo::new(), TestPulpo::new());
    drop(guard);
    pulpo::publish(email("later")).unwrap();
    assert_eq!((other.published::<SendEmail>().len(), later.published::<SendEmail>().len()), (0, 1));
}

#[tokio::test]
async fn tasks_of_an_async_test_belong_to_it() {
    let pulpo = TestPulpo::new();
    pulpo::publish_async(email("a")).await.unwrap();
    pulpo::publish_all_async(["b", "c"].map(email)).await.unwrap();
    tokio::spawn(async { pulpo::publish_async(email("d")).await.unwrap() }).await.unwrap();
    assert_eq!(pulpo.published::<SendEmail>().len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_on_other_threads_do_if_asked_to() {
    let pulpo = TestPulpo::new();
    pulpo::publish_async(email("a")).await.unwrap();
    assert!(is_refused(tokio::spawn(async { pulpo::publish(email("b")) }).await.unwrap()));
    let task = async {
        tokio::task::yield_now().await;
        pulpo::publish(email("c")).unwrap();
        pulpo::publish_async(email("d")).await.unwrap();
    };
    tokio::spawn(pulpo.scope(task)).await.unwrap();
    assert_eq!(pulpo.published::<SendEmail>().len(), 3);
}

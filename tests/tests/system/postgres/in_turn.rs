//! The order of questions and answers on a connection.

use std::time::Duration;

use pulpo::queue::{DequeueFilter, Filter, Inspection as _, QueueAdapter as _, Settlement};
use pulpo_tests::postgres::PostgresServer;
use pulpo_tests::proxy::CountingProxy;

use super::{connect, message};

/// When a worker is killed that waits for two answers, pgbouncer before version 1.22 hands its session to another client
/// after the first one, which then takes the second for its own.
#[test]
fn behind_a_pooler_each_statement_waits_for_the_answer_to_the_one_before() {
    let server = PostgresServer::shared();
    let most_at_once = |notify: bool| {
        let proxy = CountingProxy::start(server.port());
        let schema = format!("in_turn_{notify}");
        let parameters = format!("schema={schema}&notify={notify}&sslmode=disable");
        let queue = connect(&format!("postgres://postgres@127.0.0.1:{}/postgres?{parameters}", proxy.port()));
        queue.enqueue((0..100).map(|n| message(&n.to_string())).collect()).expect("enqueue");
        let mut consumer = queue.consumer(&["mail".to_owned()]).expect("a consumer");
        // Each claim commits what is done, ends delays and leases, and leases more.
        while let Some(delivery) = consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue") {
            consumer.settle(&delivery.lease, &mut Settlement::deferrable_commit()).expect("put off");
        }
        consumer.flush().expect("flush");
        queue.stats().expect("stats");
        assert!(queue.list(&Filter::all()).expect("list").is_empty(), "all are done");
        proxy.most_at_once()
    };
    assert_eq!(most_at_once(false), 1);
    // Otherwise they share round trips.
    assert!(most_at_once(true) > 1);
}

//! Jobs that are published in transactions of a database of the program.

use pulpo::testing::TestPulpo;
use pulpo::{Message, OnDuplicate, UniqueFor};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::jobs::{Board, SendEmail, email};

/// A database with an outbox.
struct Shop {
    connection: Connection,
    outbox: String,
    _folder: TempDir,
}

impl Shop {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("shop.db");
        let mut connection = Connection::open(&file).unwrap();
        pulpo::outbox::create(&mut connection).unwrap();
        Self { connection, outbox: format!("sqlite:{}", file.display()), _folder: folder }
    }

    /// Publishes in a transaction, as the code under test would.
    fn order(&mut self, address: &str, commit: bool) {
        let mut transaction = self.connection.transaction().unwrap();
        pulpo::publish_in(&mut transaction, email(address)).unwrap();
        if commit {
            transaction.commit().unwrap();
        }
    }
}

#[test]
fn a_job_runs_if_and_only_if_its_transaction_has_committed() {
    let (pulpo, mut shop) = (TestPulpo::new().state(Board::default()), Shop::new());
    shop.order("ada@example.com", true);
    shop.order("bob@example.com", false);
    pulpo.assert_none_published::<SendEmail>();
    assert_eq!(pulpo.relay(&shop.outbox), 1);
    pulpo.assert_published::<SendEmail>(|m| m.body().to == "ada@example.com");
    pulpo.run_next().unwrap().assert_done();
    assert!(pulpo.run_next().is_none(), "the other was rolled back");
    assert_eq!(pulpo.relay(&shop.outbox), 0, "it has moved");
}

/// Each was committed for itself, so the last one replaces those before, as if the relay had moved each at once.
#[test]
fn of_several_transactions_with_one_key_the_last_replaces_the_others() {
    let (pulpo, mut shop) = (TestPulpo::new().state(Board::default()), Shop::new());
    for address in ["ada@example.com", "bob@example.com", "cid@example.com"] {
        let mut transaction = shop.connection.transaction().unwrap();
        let message = Message::new(email(address)).unique_key("greeting").unique_for(UniqueFor::Waiting);
        pulpo::publish_in(&mut transaction, message.on_duplicate(OnDuplicate::Replace)).unwrap();
        transaction.commit().unwrap();
    }
    assert_eq!(pulpo.relay(&shop.outbox), 3);
    pulpo.assert_published::<SendEmail>(|m| m.body().to == "cid@example.com");
    pulpo.run_next().unwrap().assert_done();
    assert!(pulpo.run_next().is_none());
}

#[test]
fn inline_a_relayed_job_runs_at_once() {
    let (pulpo, mut shop) = (TestPulpo::new().state(Board::default()).inline(), Shop::new());
    shop.order("ada@example.com", true);
    assert_eq!(pulpo.relay(&shop.outbox), 1);
    pulpo.assert_done::<SendEmail>(|m| m.body().to == "ada@example.com");
}

#[tokio::test]
async fn an_async_test_relays_on_its_own_runtime() {
    let (pulpo, mut shop) = (TestPulpo::new().state(Board::default()), Shop::new());
    shop.order("ada@example.com", true);
    shop.order("bob@example.com", true);
    assert_eq!(pulpo.relay(&shop.outbox), 2);
    assert_eq!(pulpo.drain_async().await.len(), 2);
}

#[test]
#[should_panic(expected = "cannot read the outbox at sqlite:")]
fn a_database_that_does_not_exist_is_named() {
    let folder = TempDir::new().unwrap();
    TestPulpo::new().relay(&format!("sqlite:{}", folder.path().join("none.db").display()));
}

#[test]
#[should_panic(expected = "cannot relay: expected sqlite:FILE or postgres://")]
fn a_url_that_is_not_one_of_an_outbox_is_refused() {
    TestPulpo::new().relay("mysql://shop");
}

//! A shop whose orders are in its own SQLite database, the file `SHOP`. `order_service orders FIRST
//! COUNT` creates orders, each in one transaction with the job that follows from it, and rolls back
//! every other one. With other arguments it is a worker, which records the orders of the jobs that
//! it runs.

use std::error::Error;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct OrderPaid {
    id: i64,
}

#[pulpo::handler("order_paid", queue = "orders", ttr = "2s")]
fn order_paid(order: OrderPaid) -> pulpo::Outcome {
    let mut record = OpenOptions::new().create(true).append(true).open(std::env::var("RECORD")?)?;
    // One write, which a kill does not tear.
    Ok(record.write_all(format!("{}\n", order.id).as_bytes())?)
}

fn orders(first: i64, count: i64) -> Result<(), Box<dyn Error>> {
    let mut shop = Connection::open(std::env::var("SHOP")?)?;
    shop.busy_timeout(Duration::from_secs(30))?;
    for id in first..first + count {
        let mut transaction = shop.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        transaction.execute("INSERT INTO orders(id) VALUES (?1)", [id])?;
        pulpo::publish_in(&mut transaction, OrderPaid { id })?;
        if id % 2 == 0 { transaction.commit() } else { transaction.rollback() }?;
    }
    Ok(())
}

mod command_line {
    pulpo::main!();

    pub(super) fn run() -> std::process::ExitCode {
        main()
    }
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [orders_of, first, count] = arguments.as_slice() else { return command_line::run() };
    if orders_of != "orders" {
        return command_line::run();
    }
    let made = || orders(first.parse()?, count.parse()?);
    match made() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

//! A worker of an older version, without some handlers of `crashing_worker`.

use serde::{Deserialize, Serialize};

/// A job that has existed from the beginning.
#[derive(Debug, Serialize, Deserialize)]
struct Known {}

#[pulpo::handler("known")]
fn known(_: Known) {}

/// Has one field more in the program `crashing_worker`, and one less.
#[derive(Debug, Serialize, Deserialize)]
struct Invoice {
    customer: String,
}

#[pulpo::handler("invoice")]
fn invoice(invoice: Invoice) {
    drop(invoice.customer);
}

#[derive(Debug, Serialize, Deserialize)]
struct InvoiceInBatches {
    customer: String,
}

#[pulpo::handler("invoice_in_batches", batch = 10)]
fn invoice_in_batches(invoices: Vec<InvoiceInBatches>) {
    invoices.into_iter().for_each(|invoice| drop(invoice.customer));
}

pulpo::main!();

//! Async handlers and state: converts foreign orders at the rates of a bank.
//!
//! ```text
//! cargo run -p pulpo-examples --bin exchange
//! ```
//!
//! It shows three things. An `async fn` is a handler like any other; while it
//! waits for the network, it holds one lane and no thread of the runtime.
//! Values that all jobs share come as `State<T>`, found by type: here the
//! client of the bank, which allows at most four open requests and counts them,
//! and the books. And async and plain handlers work side by side: an order whose
//! amount is wrong becomes a separate job for a plain function, published
//! through the `Context`.
//!
//! The bank is a task in this program. It is slow, and closed for a moment.
#![allow(clippy::print_stdout, reason = "it talks to a person")]

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use pulpo::{Config, Context, Pulpo, ResultExt as _, State};
use pulpo_examples::orders::{self, Order};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

const RATES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/rates.csv");

#[derive(Serialize, Deserialize)]
struct Convert(Order);

#[pulpo::handler("convert", timeout = "10s", backoff = "50ms..1s")]
async fn convert(
    Convert(order): Convert,
    bank: State<Arc<Bank>>,
    books: State<Arc<Books>>,
    context: &Context,
) -> pulpo::Outcome {
    // The future is dropped at this await if it takes longer than the timeout.
    let rate = match bank.rate(&order.currency).await? {
        Answer::Rate(rate) => rate,
        Answer::Closed => Err("the bank is closed").retry_after(Duration::from_millis(100))?,
        Answer::Unknown => Err(format!("the bank does not know {}", order.currency)).fatal()?,
    };
    let eur = (order.amount / rate).round_dp(2);
    // Rounding may lose a cent.
    if (eur - order.eur).abs() > Decimal::new(1, 2) {
        context.publish(Look { number: order.number, ours: order.eur.to_string(), theirs: eur.to_string() })?;
    }
    books.add(order.number, &order.currency, eur);
    Ok(())
}

/// An order for the bookkeeper to look at.
#[derive(Serialize, Deserialize)]
struct Look {
    number: u32,
    ours: String,
    theirs: String,
}

#[pulpo::handler("look")]
fn look(Look { number, ours, theirs }: Look, books: State<Arc<Books>>) {
    books.note(format!("order {number}: {ours} in our books, {theirs} at the bank"));
}

/// The client that all jobs share.
struct Bank {
    address: SocketAddr,
    at_a_time: Semaphore,
    questions: AtomicUsize,
}

enum Answer {
    Rate(Decimal),
    Closed,
    Unknown,
}

impl Bank {
    async fn rate(&self, currency: &str) -> anyhow::Result<Answer> {
        let _turn = self.at_a_time.acquire().await?;
        self.questions.fetch_add(1, Ordering::Relaxed);
        let mut connection = TcpStream::connect(self.address).await.context("cannot reach the bank")?;
        connection.write_all(format!("{currency}\n").as_bytes()).await?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await?;
        Ok(match answer.trim() {
            "closed" => Answer::Closed,
            "unknown" => Answer::Unknown,
            rate => Answer::Rate(rate.parse().with_context(|| format!("the bank says {rate:?}"))?),
        })
    }
}

/// The results of the jobs, by order number, so that a job that runs twice adds nothing.
#[derive(Default)]
struct Books {
    worth: Mutex<BTreeMap<u32, (String, Decimal)>>,
    notes: Mutex<Vec<String>>,
}

impl Books {
    fn add(&self, number: u32, currency: &str, eur: Decimal) {
        let mut worth = self.worth.lock().unwrap_or_else(PoisonError::into_inner);
        worth.insert(number, (currency.to_owned(), eur));
    }

    fn note(&self, note: String) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(note);
    }

    fn print(&self) {
        let mut sums: BTreeMap<String, (u32, Decimal)> = BTreeMap::new();
        for (currency, eur) in self.worth.lock().unwrap_or_else(PoisonError::into_inner).values() {
            let (orders, sum) = sums.entry(currency.clone()).or_default();
            *orders += 1;
            *sum += *eur;
        }
        sums.iter().for_each(|(currency, (orders, sum))| println!("{currency} {orders:3} orders {sum:>10.2} EUR"));
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(|note| println!("look: {note}"));
    }
}

/// Answers each line with one line, after a short delay; the first three with "closed".
async fn serve(listener: TcpListener, rates: HashMap<String, String>) -> io::Result<()> {
    for number in 0.. {
        let (mut connection, _) = listener.accept().await?;
        let rates = rates.clone();
        tokio::spawn(async move {
            let mut question = String::new();
            BufReader::new(&mut connection).read_line(&mut question).await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
            let rate = rates.get(question.trim()).map_or("unknown", String::as_str);
            connection.write_all(if number < 3 { b"closed" } else { rate.as_bytes() }).await
        });
    }
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let level = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "error".into());
    tracing_subscriber::fmt().with_env_filter(level).with_writer(io::stderr).with_ansi(false).init();

    // You may give the worker a runtime; otherwise it creates one.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut file = csv::Reader::from_path(RATES).with_context(|| format!("cannot read {RATES}"))?;
    let rates = file.deserialize().collect::<Result<HashMap<String, String>, _>>()?;
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?;
    runtime.spawn(serve(listener, rates));

    // Nothing here needs to outlive the program, so the queue is in memory.
    let mut config = Config::default().queue("memory:")?;
    config.worker.sleep_duration = Duration::from_millis(500);
    config.worker.shutdown_after_number_of_empty_iterations = 1;
    config.worker.concurrency = 8;
    let pulpo = Pulpo::new(config)?;
    let (orders, _) = orders::read()?;
    let foreign = orders.into_iter().filter(|order| order.currency != "EUR").map(Convert);
    let published = runtime.block_on(pulpo.publish_all_async(foreign))?;
    println!("published {} orders", published.len());

    // In an `Arc`, because they are read after the worker has ended.
    let bank = Arc::new(Bank { address, at_a_time: Semaphore::new(4), questions: AtomicUsize::new(0) });
    let books = Arc::new(Books::default());
    let worker = pulpo.worker()?.runtime(runtime.handle().clone()).state(bank.clone()).state(books.clone());
    let summary = worker.run()?;
    println!("done {}, tried again {}, buried {}", summary.done, summary.retried, summary.buried);
    println!("{} questions to the bank", bank.questions.load(Ordering::Relaxed));
    books.print();
    Ok(())
}

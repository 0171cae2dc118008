//! A web service whose requests return at once: the work of `POST /reports` is
//! a job, and `GET /jobs/ID` reports its state.
//!
//! ```text
//! cargo run -p pulpo-examples --features web --bin web_service
//! curl -i -X POST localhost:8080/reports -H 'content-type: application/json' -d '{"country": "FI"}'
//! curl -i localhost:8080/jobs/1
//! curl localhost:8080/reports/1
//! ```
//!
//! It shows: `publish_async` in a request handler, which never blocks the
//! executor; the id of a job in the URL of its state; the state of a message,
//! and why it failed, read from the queue; a result that outlives its message;
//! a worker beside the server, both stopped by one Ctrl-C.
//!
//! The worker can also be a separate process: run `web_service work`, any
//! number of times, and the service with `WORKER=off`. With other arguments it
//! is the command line of the queue: `web_service list --state buried`.
#![allow(clippy::print_stdout, reason = "it talks to a person")]

use std::collections::BTreeMap;
use std::future::IntoFuture as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

use axum::extract::{Path as InPath, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use pulpo::queue::MessageState;
use pulpo::{Config, Context, MessageId, Pulpo, ResultExt as _};
use pulpo_examples::orders;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::TcpListener;

const OUTPUT: &str = "web-service-output";

/// The body of the request, and of the job.
#[derive(Serialize, Deserialize)]
struct MakeReport {
    /// A code of two letters.
    country: String,
}

/// The sales of a country, by day.
#[derive(Serialize, Deserialize)]
struct Report {
    country: String,
    orders: usize,
    eur: Decimal,
    days: BTreeMap<chrono::NaiveDate, Decimal>,
}

#[pulpo::handler("make_report", max_attempts = 5)]
fn make_report(MakeReport { country }: MakeReport, context: &Context) -> pulpo::Outcome {
    let (all, _) = orders::read()?;
    let orders: Vec<_> = all.into_iter().filter(|order| order.country == country).collect();
    if orders.is_empty() {
        return Err(pulpo::fatal(format!("nobody in {country:?} has ever ordered")));
    }
    let mut report = Report { country, orders: orders.len(), eur: Decimal::ZERO, days: BTreeMap::new() };
    for order in orders {
        report.eur += order.eur;
        *report.days.entry(order.placed).or_default() += order.eur;
    }
    // The job's id names the result, so that a client that knows the id finds the result. The file
    // appears under its name at once and complete: a reader, or a second run of the job, must not
    // see half of it.
    let (file, part) = (file(context.id()), file(context.id()).with_extension("part"));
    fs::create_dir_all(OUTPUT)?;
    fs::write(&part, serde_json::to_vec_pretty(&report).fatal()?)?;
    Ok(fs::rename(part, file)?)
}

fn file(id: &MessageId) -> PathBuf {
    Path::new(OUTPUT).join(format!("{id}.json"))
}

/// Answers `202 Accepted`, with the URL of the job's state.
async fn ask(State(pulpo): State<Pulpo>, Json(body): Json<MakeReport>) -> Result<Response, Trouble> {
    let sent = pulpo.publish_async::<MakeReport>(body).await?;
    let id = sent.id().map(MessageId::as_str).unwrap_or_default();
    let place = format!("/jobs/{id}");
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, place)], Json(json!({ "job": id }))).into_response())
}

/// Reports the state of a job. A job that is done has left the queue, and has a result.
async fn job(State(pulpo): State<Pulpo>, InPath(id): InPath<String>) -> Result<Response, Trouble> {
    let id = MessageId::from(id);
    let wanted = id.clone();
    // Reading the queue may wait for the disk, so do not do it on the executor. Read the queue
    // first, then the result: a job that ends between the two is then seen as done, and never as
    // unknown.
    let looked = tokio::task::spawn_blocking(move || {
        let message = pulpo.queue().peek(&wanted)?;
        Ok::<_, pulpo::queue::QueueError>((message, has_result(&wanted)))
    });
    let (message, done) = looked.await??;
    let answer = match message {
        _ if done => {
            let place = format!("/reports/{id}");
            let answer = Json(json!({ "job": id, "state": "done", "report": place }));
            return Ok((StatusCode::SEE_OTHER, [(header::LOCATION, place)], answer).into_response());
        }
        None => return Ok((StatusCode::NOT_FOUND, Json(json!({ "error": "no such job" }))).into_response()),
        Some(message) => match message.state {
            MessageState::Buried => json!({ "job": id, "state": "failed", "reason": message.last_error }),
            state => {
                json!({ "job": id, "state": state, "failed_attempts": message.attempts, "reason": message.last_error })
            }
        },
    };
    Ok(Json(answer).into_response())
}

async fn report(InPath(id): InPath<String>) -> Result<Response, Trouble> {
    if !has_result(&MessageId::from(id.as_str())) {
        return Ok(StatusCode::NOT_FOUND.into_response());
    }
    let report: Report = serde_json::from_slice(&fs::read(file(&MessageId::from(id)))?)?;
    Ok(Json(report).into_response())
}

/// Ids are numbers here; anything else in a path could lead out of the folder.
fn has_result(id: &MessageId) -> bool {
    id.as_str().bytes().all(|byte| byte.is_ascii_digit()) && file(id).is_file()
}

/// An internal error. It becomes a `503`, so that the client tries again.
struct Trouble(anyhow::Error);

impl<E: Into<anyhow::Error>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let body = Json(json!({ "error": format!("{:#}", self.0) }));
        (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
    }
}

fn main() -> anyhow::Result<ExitCode> {
    if env::args_os().len() > 1 {
        return Ok(command_line::run());
    }
    let level = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt().with_env_filter(level).with_writer(io::stderr).with_ansi(false).init();
    tokio::runtime::Runtime::new()?.block_on(serve(Pulpo::new(Config::load()?)?))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(pulpo: Pulpo) -> anyhow::Result<()> {
    let service = Router::new()
        .route("/reports", post(ask))
        .route("/jobs/{id}", get(job))
        .route("/reports/{id}", get(report))
        .with_state(pulpo.clone());
    let port = env::var("PORT").map_or(Ok(8080), |port| port.parse())?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);

    if env::var("WORKER").is_ok_and(|worker| worker == "off") {
        return Ok(axum::serve(listener, service).await?);
    }
    // The worker has its own threads, and stops at a signal: running jobs may end, and the service
    // ends with it.
    let worker = tokio::task::spawn_blocking(move || pulpo.work());
    let (stopped, when_stopped) = tokio::sync::oneshot::channel::<()>();
    let stopping = async move { drop(when_stopped.await) };
    let serving = tokio::spawn(axum::serve(listener, service).with_graceful_shutdown(stopping).into_future());
    let summary = worker.await??;
    drop(stopped);
    serving.await??;
    println!("stopped after {} jobs", summary.done);
    Ok(())
}

mod command_line {
    pulpo::main!();

    pub(super) fn run() -> std::process::ExitCode {
        main()
    }
}

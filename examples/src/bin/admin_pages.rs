//! A web service with a page of its jobs for administrators: pulpo's dashboard
//! inside the service, behind the service's own login.
//!
//! ```text
//! ADMIN_PASSWORD=secret cargo run -p pulpo-examples --features web --bin admin_pages
//! ```
//!
//! Open <http://localhost:8080/>, order something, log in, and see the job at
//! <http://localhost:8080/admin/jobs>.
//!
//! It shows: [`pulpo::dashboard::Dashboard`] nested under a path, so that all
//! of its pages, forms and live updates stay below it; a layer of the service
//! in front of it, which lets only logged-in users pass; a worker beside the
//! server, both stopped by one Ctrl-C.
//!
//! The dashboard protects itself against forged requests. The service protects
//! only its own forms.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it talks to a person")]

use std::collections::HashSet;
use std::error::Error;
use std::future::IntoFuture as _;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::{env, fmt::Write as _};

use axum::extract::{Form, Request, State};
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use pulpo::dashboard::Dashboard;
use pulpo::{Config, Pulpo};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

const SESSION: &str = "shop_session";

#[derive(Serialize, Deserialize)]
struct Pack {
    item: String,
}

/// Fails for good if the shop does not have the item, so that there is something to see.
#[pulpo::handler("pack")]
fn pack(job: Pack) -> pulpo::Outcome {
    if job.item == "tea" || job.item == "coffee" {
        return Ok(());
    }
    Err(pulpo::fatal(format!("no shelf holds {:?}", job.item)))
}

/// The sessions of logged-in users. A real service stores them elsewhere, and lets them expire.
struct Admins {
    password: String,
    sessions: Mutex<HashSet<String>>,
}

impl Admins {
    fn begin(&self) -> Result<String, getrandom::Error> {
        let mut bits = [0; 16];
        getrandom::fill(&mut bits)?;
        let session = bits.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).insert(session.clone());
        Ok(session)
    }

    fn knows(&self, headers: &HeaderMap) -> bool {
        let cookies = headers.get_all(COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
        let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|one| one.trim().split_once('='));
        let session = pairs.find(|(name, _)| *name == SESSION).map(|(_, session)| session);
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        session.is_some_and(|session| sessions.contains(session))
    }
}

/// Guards everything that only administrators may see.
async fn only_admins(State(admins): State<Arc<Admins>>, request: Request, next: Next) -> Response {
    if admins.knows(request.headers()) { next.run(request).await } else { Redirect::to("/login").into_response() }
}

async fn home() -> Html<&'static str> {
    Html(
        "<!doctype html><title>Shop</title><form method=post action=/orders>\
         <input name=item value=tea aria-label=Item> <button>Order</button></form>\
         <p><a href=/admin/jobs>Jobs</a></p>",
    )
}

async fn order(Extension(pulpo): Extension<Pulpo>, Form(job): Form<Pack>) -> Response {
    match pulpo.publish_async(job).await {
        Ok(_) => (StatusCode::ACCEPTED, "It will be packed.").into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}

async fn login_form() -> Html<&'static str> {
    Html(
        "<!doctype html><title>Log in</title><form method=post>\
         <input name=password type=password aria-label=Password autofocus> <button>Log in</button></form>",
    )
}

#[derive(Deserialize)]
struct Login {
    password: String,
}

async fn login(Extension(admins): Extension<Arc<Admins>>, Form(login): Form<Login>) -> Response {
    if login.password != admins.password {
        return (StatusCode::UNAUTHORIZED, "This is not the password.").into_response();
    }
    match admins.begin() {
        Ok(session) => {
            let cookie = format!("{SESSION}={session}; Path=/; HttpOnly; SameSite=Lax");
            ([(SET_COOKIE, cookie)], Redirect::to("/admin/jobs")).into_response()
        }
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}

async fn serve() -> Result<(), Box<dyn Error + Send + Sync>> {
    let password = env::var("ADMIN_PASSWORD").map_err(|_| "expected a password in ADMIN_PASSWORD")?;
    let admins = Arc::new(Admins { password, sessions: Mutex::default() });
    let pulpo = Pulpo::new(Config::load()?)?;
    let dashboard = Dashboard::new(pulpo.clone()).allow_changes(true).router();
    let service = Router::new()
        .route("/", get(home))
        .route("/orders", post(order))
        .route("/login", get(login_form).post(login))
        .nest_service("/admin/jobs", dashboard.layer(from_fn_with_state(admins.clone(), only_admins)))
        .layer(Extension(admins))
        .layer(Extension(pulpo.clone()));
    let port = env::var("PORT").map_or(Ok(8080), |port| port.parse())?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);

    let worker = pulpo.worker()?;
    // The worker has its own threads, and stops at a signal; then the service stops too.
    let working = tokio::task::spawn_blocking(move || worker.run());
    let (stopped, when_stopped) = tokio::sync::oneshot::channel::<()>();
    let stopping = async move { drop(when_stopped.await) };
    let serving = tokio::spawn(axum::serve(listener, service).with_graceful_shutdown(stopping).into_future());
    working.await??;
    drop(stopped);
    // Open pages keep a connection for live updates, which the dashboard ends within 20 seconds.
    serving.await??;
    Ok(())
}

fn main() -> ExitCode {
    let served = tokio::runtime::Runtime::new().map_err(Into::into).and_then(|runtime| runtime.block_on(serve()));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

//! Web pages that show a queue and act on its jobs.
//!
//! Server-rendered: each page works without JavaScript, and no resources are loaded from other hosts. A small script
//! refreshes the page.
//!
//! The command `dashboard` serves it, and so does a worker that listens. In a web service of your own, nest [`router`]
//! behind your own login:
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let pulpo = pulpo::Pulpo::new(pulpo::Config::load()?)?;
//! let app: axum::Router = axum::Router::new().nest_service("/admin/jobs", pulpo::dashboard::router(pulpo));
//! # let _ = app;
//! # Ok(())
//! # }
//! ```
//!
//! # Security
//!
//! - It is read-only unless [`Dashboard::allow_changes`] is set.
//! - A change is a POST from a page of the same origin, with a secret in the field `csrf`.
//! - Everything from a message is escaped, and a content security policy forbids all scripts but ours.
//! - [`Dashboard::show_bodies`] can hide the bodies of messages and the results of jobs.
//! - [`Dashboard::hosts`] refuses requests to other host names, so that a foreign web page cannot reach it through a
//!   visitor's browser (DNS rebinding).
//!
//! # Invariants
//! - A request costs the queue a bounded query; only a few run at a time, each on a thread that may block.

#[cfg(feature = "cli")]
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{get, post};

use self::access::Access;
use self::ask::Questions;
use self::guard::FORM_BYTES;
use self::hosts::Hosts;
use self::pulse::Pulse;
use self::site::Site;
use self::tasks::Tasks;
use crate::instance::Pulpo;
use crate::registry::Registry;
#[cfg(feature = "cli")]
use crate::worker::DashboardOptions;
use crate::worker::Secret;

mod access;
mod address;
mod ask;
mod charts;
mod counts;
mod guard;
mod hosts;
mod html;
mod job;
mod jobs;
mod live;
mod login;
mod overview;
mod parameters;
mod pulse;
mod queues;
mod schedules;
mod site;
mod task;
mod tasks;
mod waiting;
mod workers;

/// Returns a read-only dashboard for your own program.
///
/// The same as [`Dashboard::new(pulpo).router()`](Dashboard::router).
pub fn router(pulpo: Pulpo) -> Router {
    Dashboard::new(pulpo).router()
}

/// A dashboard of a queue, and its options.
#[derive(Clone, Debug)]
#[must_use = "`router` makes it a service"]
pub struct Dashboard {
    pulpo: Pulpo,
    changes: bool,
    bodies: bool,
    hosts: Hosts,
    path: String,
    token: Option<Secret>,
}

impl Dashboard {
    /// Creates a read-only dashboard that shows everything.
    pub fn new(pulpo: Pulpo) -> Self {
        Self { pulpo, changes: false, bodies: true, hosts: Hosts::default(), path: String::new(), token: None }
    }

    /// Creates the dashboard to serve at this address. `None` beyond loopback without a token.
    #[cfg(feature = "cli")]
    pub(crate) fn at(address: SocketAddr, pulpo: &Pulpo) -> Option<Self> {
        let DashboardOptions { hosts, bodies, path, token, allow_changes } = &pulpo.options().dashboard;
        if token.is_none() && !address.ip().is_loopback() {
            return None;
        }
        let dashboard = Self::new(pulpo.clone()).allow_changes(*allow_changes).show_bodies(*bodies).path(path);
        Some(Self { token: token.clone(), hosts: Hosts::at(address, hosts.clone()), ..dashboard })
    }

    /// Sets whether jobs can be retried, cancelled, edited and deleted, queues and schedules paused, and scheduled jobs
    /// run. Default: no.
    pub fn allow_changes(mut self, allowed: bool) -> Self {
        self.changes = allowed;
        self
    }

    /// Sets whether the bodies of messages and the results of jobs are shown. Default: yes. The reasons of failures are
    /// always shown, and may quote a body.
    pub fn show_bodies(mut self, shown: bool) -> Self {
        self.bodies = shown;
        self
    }

    /// Answers only requests to these hosts: names or addresses, without a port. Their pages may make changes, even if
    /// a proxy in front of the dashboard names another host in its requests. Default: any host.
    pub fn hosts(mut self, hosts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.hosts = Hosts::only(hosts.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the path at which browsers see the dashboard, such as `/ops/jobs`, if a proxy removes it from the requests
    /// that it passes on: all links then begin with it. Default: none, for a proxy that passes on whole paths. A router
    /// that you nest under a path knows that path.
    pub fn path(mut self, path: &str) -> Self {
        let path = path.trim_matches('/');
        self.path = if path.is_empty() { String::new() } else { format!("/{path}") };
        self
    }

    /// Requires this token, in a form or in the header `Authorization: Bearer`. Use 8 to 300 printable ASCII
    /// characters; an empty token admits no one. Default: no token, for a dashboard behind your own login.
    pub fn token(mut self, token: &str) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Returns the pages, for your own server. They work under any path.
    pub fn router(self) -> Router {
        let Self { pulpo, changes, bodies, hosts, path, token } = self;
        let site = Arc::new(Site {
            pulpo,
            registry: Registry::gather(),
            path,
            changes,
            bodies,
            hosts,
            access: Access::new(token),
            questions: Questions::default(),
            counts: Arc::default(),
            pulse: Pulse::default(),
            tasks: Tasks::default(),
        });
        Router::new()
            .route("/", get(overview::page))
            .route("/queues", get(queues::page))
            .route("/queues/pause", post(queues::pause))
            .route("/queues/resume", post(queues::resume))
            .route("/schedules", get(schedules::page))
            .route("/schedules/run", post(schedules::run))
            .route("/schedules/pause", post(schedules::pause))
            .route("/schedules/resume", post(schedules::resume))
            .route("/jobs", get(jobs::list))
            .route("/jobs/act", post(jobs::act))
            .route("/jobs/{pulpo_id}", get(job::page))
            .route("/jobs/{pulpo_id}/retry", post(job::retry))
            .route("/jobs/{pulpo_id}/cancel", post(job::cancel))
            .route("/jobs/{pulpo_id}/edit", post(job::edit))
            .route("/jobs/{pulpo_id}/delete", post(job::delete))
            .route("/workers", get(workers::page))
            .route("/tasks/{pulpo_id}", get(task::page))
            .route("/tasks/{pulpo_id}/stop", post(task::stop))
            .route("/events", get(live::events))
            .route("/login", get(login::page).post(login::login))
            .route("/logout", post(login::logout))
            .route("/assets/style.css", get(html::style))
            .route("/assets/script.js", get(html::script))
            .fallback(html::elsewhere)
            .method_not_allowed_fallback(html::wrong_method)
            .layer(DefaultBodyLimit::max(FORM_BYTES))
            .layer(middleware::from_fn_with_state(site.clone(), guard::check_visit))
            .with_state(site)
    }
}

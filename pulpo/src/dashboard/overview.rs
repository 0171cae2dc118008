//! `/`: the numbers of the queue, and the last failures.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::Response;
use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::address::query;
use super::charts::{Chart, Span};
use super::counts::{largest, left_out};
use super::html::{Problem, Visit, age, counted, foreign, live, number, page as whole, unreachable};
use super::parameters::{Pairs, bad, field};
use super::site::Site;
use crate::queue::{
    Activity, ActivityFilter, ActivityLog, ActivityStep, Counts, Filter, MessageState, QueueError, Stats, StoredMessage,
};

/// How many failures the page shows.
const FAILURES: usize = 5;

pub(super) async fn page(State(site): State<Arc<Site>>, visit: Visit, Query(pairs): Query<Pairs>) -> Response {
    match content(&site, &visit, &pairs).await {
        Ok(content) => whole(&visit, "Overview", "/", &content),
        Err(problem) => problem.page(&visit),
    }
}

/// The parameters of the charts.
struct Asked {
    span: Span,
    queue: Option<String>,
    request_type: Option<String>,
}

impl Asked {
    fn read(pairs: &Pairs) -> Result<Self, Problem> {
        let span = field(pairs, "span")?.unwrap_or(Span::Hour.name());
        let known = Span::ALL.into_iter().find(|known| known.name() == span);
        let span = known.ok_or_else(|| bad(format!("expected the span to be hour, day or month, got {span:?}")))?;
        let text = |name| Ok::<_, Problem>(field(pairs, name)?.map(str::to_owned));
        Ok(Self { span, queue: text("queue")?, request_type: text("type")? })
    }

    fn filter(&self, step: ActivityStep, since: DateTime<Utc>) -> ActivityFilter {
        let mut filter = ActivityFilter::since(step, since);
        filter.queue.clone_from(&self.queue);
        filter.request_type.clone_from(&self.request_type);
        filter
    }

    fn query(&self, span: Span) -> String {
        let queue = self.queue.as_deref().map(|queue| ("queue", queue));
        let request_type = self.request_type.as_deref().map(|of| ("type", of));
        query([("span", span.name())].into_iter().chain(queue).chain(request_type))
    }

    fn is_part(&self) -> bool {
        self.queue.is_some() || self.request_type.is_some()
    }
}

/// The queue's numbers over time.
struct OverTime {
    /// The minutes of the last day.
    day: Vec<Activity>,
    /// The hours of the last month, if the charts show them.
    month: Option<Vec<Activity>>,
    /// Whether each step says how many messages were waiting.
    knows_waiting: bool,
}

impl OverTime {
    fn read(log: &dyn ActivityLog, asked: &Asked, now: DateTime<Utc>) -> Result<Self, QueueError> {
        let day = log.read_activity(&asked.filter(ActivityStep::Minute, Span::Day.since(now)))?;
        let month = (asked.span == Span::Month)
            .then(|| log.read_activity(&asked.filter(ActivityStep::Hour, Span::Month.since(now))));
        Ok(Self { day, month: month.transpose()?, knows_waiting: log.knows_waiting() && !asked.is_part() })
    }

    fn sum_since(&self, since: DateTime<Utc>) -> Activity {
        let mut sum = Activity::none(since);
        self.day.iter().filter(|step| step.at >= since).for_each(|step| sum.add(step));
        sum
    }
}

async fn content(site: &Site, visit: &Visit, pairs: &Pairs) -> Result<Markup, Problem> {
    let asked = Arc::new(Asked::read(pairs)?);
    let (of, counts) = (asked.clone(), site.counts.clone());
    let seen = site.ask(move |queue| {
        let now = Utc::now();
        let texts = !queue.capabilities().stats_by_type;
        let failed = Filter::all().state(MessageState::Buried).limit(FAILURES);
        let failed = queue.survey(&failed, texts)?.messages;
        let over_time = queue.activity().map(|log| OverTime::read(log, &of, now)).transpose()?;
        Ok((counts.read(queue)?, failed, over_time, now))
    });
    let (stats, failed, over_time, now) = seen.await?;
    Ok(live(
        "overview",
        &html! {
            (unreachable(&stats))
            (tiles(visit, &stats, over_time.as_ref().filter(|_| !asked.is_part()), now))
            @if let Some(over_time) = &over_time { (charts(visit, &asked, over_time, &stats, now)) }
            (by_type(visit, &stats, over_time.is_some().then_some(asked.span), now))
            (failures(visit, &failed, now))
        },
    ))
}

fn charts(visit: &Visit, asked: &Asked, over_time: &OverTime, stats: &Stats, now: DateTime<Utc>) -> Markup {
    let waiting = (
        Some(stats.counts.iter().map(|counts| counts.ready).sum()),
        stats.counts.iter().filter_map(|counts| counts.oldest_ready).min(),
    );
    let steps = over_time.month.as_ref().unwrap_or(&over_time.day);
    let chart = Chart::new(asked.span, steps, if over_time.knows_waiting { waiting } else { (None, None) }, now);
    html! {
        div.over-time {
            h2 {
                "Over time"
                @if let Some(of) = &asked.request_type { ": " (foreign(of, 100)) }
                @if let Some(queue) = &asked.queue { " in " (foreign(queue, 100)) }
            }
            nav aria-label="Time shown" {
                @for span in Span::ALL {
                    a href=(visit.link(&format!("/{}", asked.query(span)))) aria-current=[(span == asked.span).then_some("true")] { "Last " (span.name()) }
                }
                @if asked.is_part() { a href=(visit.link(&format!("/{}", query([("span", asked.span.name())])))) { "All jobs" } }
            }
        }
        div.charts {
            (chart.outcomes())
            @if let Some(waiting) = chart.waiting() { (waiting) }
            @if let Some(oldest) = chart.oldest() { (oldest) }
        }
        (chart.table())
    }
}

fn tiles(visit: &Visit, stats: &Stats, over_time: Option<&OverTime>, now: DateTime<Utc>) -> Markup {
    let sum = |count: fn(&Counts) -> u64| stats.counts.iter().map(count).sum::<u64>();
    let tiles = [
        ("Ready", sum(|counts| counts.ready), "ready"),
        ("Running", sum(|counts| counts.reserved), "reserved"),
        ("Delayed", sum(|counts| counts.delayed), "delayed"),
        ("Buried", sum(|counts| counts.buried), "buried"),
    ];
    let oldest = stats.counts.iter().filter_map(|counts| counts.oldest_ready).min();
    let published: u64 = stats.totals.iter().map(|totals| totals.published).sum();
    let finished: u64 = stats.totals.iter().map(|totals| totals.finished).sum();
    // Done and failed messages, each in the last hour and the last day.
    let last = over_time.map(|over_time| [Span::Hour, Span::Day].map(|span| over_time.sum_since(span.since(now))));
    html! {
        div.tiles {
            @if let Some([hour, day]) = &last {
                @for (name, class, of_hour, of_day) in [
                    ("Done", "done", hour.done, day.done),
                    ("Failed runs", "failed", hour.failed + hour.buried, day.failed + day.buried),
                ] {
                    div.tile {
                        span.label { (name) ", last hour" }
                        span class=(format!("value {class}")) { (number(of_hour)) }
                        span.faint { (number(of_day)) " in the last day" }
                    }
                }
            }
            @for (name, count, state) in tiles {
                a.tile href=(visit.link(&format!("/jobs{}", query([("state", state)])))) {
                    span.label { (name) }
                    span class=(format!("value {state}")) { (number(count)) }
                }
            }
            div.tile {
                span.label { "Oldest waiting" }
                span.value { (age(oldest, now)) }
            }
            div.tile {
                span.label { "Published in total" }
                span.value { (number(published)) }
                span.faint { (number(finished)) " finished" }
            }
        }
    }
}

/// Renders the table of queues and types, each with its bar.
fn by_type(visit: &Visit, stats: &Stats, span: Option<Span>, now: DateTime<Utc>) -> Markup {
    let most = stats.counts.iter().map(Counts::total).max().unwrap_or_default();
    let rows = largest(&stats.counts, |_| false);
    html! {
        h2 { "Jobs by type" }
        @if stats.counts.is_empty() {
            p.card.faint { "The queue is empty." }
        } @else {
            table.cards {
                thead { tr {
                    th { "Type" } th { "Queue" } th.number { "Ready" } th.number { "Running" } th.number { "Delayed" }
                    th.number { "Buried" } th { "Oldest waiting" } th aria-hidden="true" {}
                } }
                tbody { @for counts in rows { (row(visit, counts, stats.paused_until(&counts.queue), most, span, now)) } }
            }
            (left_out(stats.counts.len()))
        }
    }
}

fn row(
    visit: &Visit,
    counts: &Counts,
    paused: Option<DateTime<Utc>>,
    most: u64,
    span: Option<Span>,
    now: DateTime<Utc>,
) -> Markup {
    let Counts { queue, request_type, .. } = counts;
    let link = |state: &'static str| {
        let pairs = [("state", state), ("type", request_type), ("queue", queue)];
        visit.link(&format!("/jobs{}", query(pairs.into_iter().filter(|(_, value)| !value.is_empty()))))
    };
    let cell = |name: &'static str, count: u64, state: &'static str| {
        html! {
            td.number data-label=(name) {
                @if count > 0 { a href=(link(state)) { (number(count)) } } @else { span.faint { "0" } }
            }
        }
    };
    html! {
        tr {
            td data-label="Type" {
                a href=(link("")) { (foreign(if request_type.is_empty() { "all" } else { request_type }, 100)) }
                @if let Some(span) = span {
                    @let pairs = [("span", span.name()), ("type", request_type.as_str()), ("queue", queue.as_str())];
                    " " a.small href=(visit.link(&format!("/{}", query(pairs.into_iter().filter(|(_, value)| !value.is_empty()))))) { "over time" }
                }
            }
            td data-label="Queue" {
                (foreign(queue, 100))
                @if paused.is_some() { " " span.state.paused { "paused" } }
            }
            (cell("Ready", counts.ready, "ready"))
            (cell("Running", counts.reserved, "reserved"))
            (cell("Delayed", counts.delayed, "delayed"))
            (cell("Buried", counts.buried, "buried"))
            td data-label="Oldest waiting" { (age(counts.oldest_ready, now)) }
            td.chart aria-hidden="true" { (bar(counts, most)) }
        }
    }
}

/// Renders the counts by state as a bar, relative to the largest type.
fn bar(counts: &Counts, most: u64) -> Markup {
    const WIDTH: f64 = 120.0;
    let width = |count: u64| WIDTH * count as f64 / most.max(1) as f64;
    let parts = [
        ("ready", counts.ready),
        ("reserved", counts.reserved),
        ("delayed", counts.delayed),
        ("buried", counts.buried),
    ];
    // Each part begins where the previous ones end.
    let begins = |place: usize| parts[..place].iter().map(|(_, count)| width(*count)).sum::<f64>();
    html! {
        svg.bar width="120" height="10" viewBox="0 0 120 10" role="presentation" {
            @for (place, (state, count)) in parts.into_iter().enumerate() {
                rect class=(state) x=(format!("{:.1}", begins(place))) y="0" width=(format!("{:.1}", width(count))) height="10" {}
            }
        }
    }
}

fn failures(visit: &Visit, failed: &[StoredMessage], now: DateTime<Utc>) -> Markup {
    html! {
        h2 { "Last buried" }
        @if failed.is_empty() {
            p.card.faint { "Nothing is buried." }
        } @else {
            ul.failures {
                @for message in failed {
                    li.card {
                        a href=(visit.job(&message.id)) { (foreign(&message.request_type, 100)) " " (foreign(message.id.as_str(), 60)) }
                        " " span.faint { (age(message.last_error_at.or(message.since), now)) ", after " (counted(message.attempts.into(), "failed run")) }
                        p.reason { (foreign(message.last_error.as_deref().unwrap_or("no reason given"), 300)) }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_charts_of_waiting_jobs_are_there_if_nothing_has_happened_for_a_day() {
        let visit = Visit { prefix: String::new(), slash: true, csrf: String::new(), changes: false, token: false };
        let asked = Asked { span: Span::Day, queue: None, request_type: None };
        let page = |knows_waiting| {
            let over_time = OverTime { day: Vec::new(), month: None, knows_waiting };
            charts(&visit, &asked, &over_time, &Stats::default(), Utc::now()).into_string()
        };
        let shown = page(true);
        assert!(shown.contains("Waiting: 0 now, at most 0") && shown.contains("Oldest waiting: 0 s now"), "{shown}");
        let shown = page(false);
        assert!(shown.contains("Done and failed: 0 done") && !shown.contains("Waiting: "), "{shown}");
    }
}

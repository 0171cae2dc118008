//! Charts of numbers over time: inline SVG, with the numbers also in words and in a table.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use maud::{Markup, html};

use super::html::{number, rough};
use crate::queue::{Activity, ActivityStep};

/// The time span that the charts show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Span {
    Hour,
    Day,
    Month,
}

impl Span {
    pub(super) const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Month];

    /// Returns its name in the query string.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// Returns the step of the numbers that it is made of.
    pub(super) const fn step(self) -> ActivityStep {
        match self {
            Self::Hour | Self::Day => ActivityStep::Minute,
            Self::Month => ActivityStep::Hour,
        }
    }

    /// Returns the number of bars, and the minutes of each.
    const fn bars(self) -> (i64, i64) {
        match self {
            Self::Hour => (60, 1),
            Self::Day => (96, 15),
            Self::Month => (124, 6 * 60),
        }
    }

    const fn bar_name(self) -> &'static str {
        match self {
            Self::Hour => "minute",
            Self::Day => "quarter of an hour",
            Self::Month => "six hours",
        }
    }

    /// Returns when its first bar begins.
    pub(super) fn since(self, now: DateTime<Utc>) -> DateTime<Utc> {
        let (count, minutes) = self.bars();
        let last = now.timestamp().div_euclid(minutes * 60) * minutes * 60;
        DateTime::from_timestamp(last - (count - 1) * minutes * 60, 0).unwrap_or(now)
    }
}

/// The values of a bar.
#[derive(Clone, Copy, Debug)]
struct Bar {
    sum: Activity,
    /// How long the oldest ready message had waited at the end of the bar, in seconds.
    oldest: Option<u64>,
}

/// The bars of the charts.
pub(super) struct Chart {
    span: Span,
    bars: Vec<Bar>,
}

impl Chart {
    /// Computes the bars from the steps since [`Span::since`] and what is ready now.
    pub(super) fn new(
        span: Span,
        steps: &[Activity],
        (waiting, oldest_ready): (Option<u64>, Option<DateTime<Utc>>),
        now: DateTime<Utc>,
    ) -> Self {
        let (count, minutes) = span.bars();
        let (since, long) = (span.since(now), TimeDelta::minutes(minutes));
        let of_step = TimeDelta::minutes(span.step().minutes());
        let mut rest = steps;
        let mut current = Activity::none(now);
        (current.waiting, current.oldest_ready) = (waiting, oldest_ready);
        let bars = (0..count).map(|place| {
            let begin = since + TimeDelta::minutes(minutes * place);
            let end = begin + long;
            let mut sum = Activity::none(begin);
            while let Some((step, later)) = rest.split_first().filter(|(step, _)| step.at < end) {
                if step.at >= begin {
                    sum.add(step);
                }
                rest = later;
            }
            // If its last step was left out, it ended with the same values as the next one.
            let later = steps.iter().find(|step| step.at + of_step >= end).filter(|_| end <= now);
            let known = later.unwrap_or(&current);
            (sum.waiting, sum.oldest_ready) =
                if waiting.is_some() { (known.waiting, known.oldest_ready) } else { (None, None) };
            let age = sum.oldest_ready.map_or(0, |since| (end.min(now) - since).num_seconds().max(0));
            Bar { sum, oldest: sum.waiting.map(|_| age.unsigned_abs()) }
        });
        Self { span, bars: bars.collect() }
    }

    /// Draws done, failed and buried messages as stacked bars.
    pub(super) fn outcomes(&self) -> Markup {
        let parts: [Part; 3] = [
            ("Done", "done", |bar| bar.sum.done),
            ("Failed, will be retried", "failed", |bar| bar.sum.failed),
            ("Buried", "buried", |bar| bar.sum.buried),
        ];
        let sums = parts.map(|(_, _, count)| self.bars.iter().map(count).sum::<u64>());
        let most = self.most(|bar| parts.iter().map(|(_, _, count)| count(bar)).sum());
        let words = format!(
            "{} done, {} failed and {} buried, at most {} in one {}",
            number(sums[0]),
            number(sums[1]),
            number(sums[2]),
            number(most),
            self.span.bar_name()
        );
        let bars = html! {
            @for (place, bar) in self.bars.iter().enumerate() {
                @let heights = parts.map(|(_, _, count)| height(count(bar), most));
                @for (part, (_, class, _)) in parts.iter().enumerate() {
                    @if heights[part] > 0.0 {
                        rect class=(class) x=(place * 10 + 1) width="8" y=(format!("{:.1}", HEIGHT - heights[..=part].iter().sum::<f64>()))
                            height=(format!("{:.1}", heights[part])) {}
                    }
                }
            }
        };
        let legend = html! { p.legend { @for (name, class, _) in &parts { span.key { span class=(format!("swatch {class}")) {} (name) } } } };
        self.figure("Done and failed", &words, &number(most), &bars, &legend)
    }

    /// Draws how many were ready, as a line; `None` if the queue does not record it.
    pub(super) fn waiting(&self) -> Option<Markup> {
        self.bars.iter().all(|bar| bar.sum.waiting.is_some()).then(|| {
            let value = |bar: &Bar| bar.sum.waiting.unwrap_or_default();
            self.line("Waiting", "ready", value, number)
        })
    }

    /// Draws how long the oldest of them had waited; `None` if the queue does not record it.
    pub(super) fn oldest(&self) -> Option<Markup> {
        self.bars.iter().all(|bar| bar.oldest.is_some()).then(|| {
            let value = |bar: &Bar| bar.oldest.unwrap_or_default();
            let said = |seconds: u64| rough(TimeDelta::seconds(i64::try_from(seconds).unwrap_or(i64::MAX / 1000)));
            self.line("Oldest waiting", "delayed", value, said)
        })
    }

    fn line(&self, title: &str, class: &str, value: impl Fn(&Bar) -> u64, said: impl Fn(u64) -> String) -> Markup {
        let most = self.most(&value);
        let last = self.bars.last().map_or(0, &value);
        let words = format!("{} now, at most {}", said(last), said(most));
        let points: String = self
            .bars
            .iter()
            .enumerate()
            .map(|(place, bar)| {
                let y = HEIGHT - height(value(bar), most);
                format!("{},{y:.1} {},{y:.1} ", place * 10, place * 10 + 10)
            })
            .collect();
        let width = self.bars.len() * 10;
        let area = html! { polygon class=(class) points=(format!("0,{HEIGHT} {points}{width},{HEIGHT}")) {} };
        self.figure(title, &words, &said(most), &area, &html! {})
    }

    fn most(&self, value: impl Fn(&Bar) -> u64) -> u64 {
        self.bars.iter().map(value).max().unwrap_or_default()
    }

    fn figure(&self, title: &str, words: &str, most: &str, shapes: &Markup, legend: &Markup) -> Markup {
        let width = self.bars.len() * 10;
        let since = self.bars.first().map(|bar| bar.sum.at);
        html! {
            figure.chart.card {
                figcaption { strong { (title) } " " span.faint { (words) } }
                (legend)
                div.plot {
                    span.most aria-hidden="true" { (most) }
                    svg viewBox=(format!("0 0 {width} {HEIGHT}")) preserveAspectRatio="none" role="img" aria-label=(format!("{title}: {words}")) { (shapes) }
                }
                p.axis aria-hidden="true" {
                    @if let Some(since) = since { span { (clock(since)) } }
                    span { "now (UTC)" }
                }
            }
        }
    }

    /// Returns the numbers of the charts as a table.
    pub(super) fn table(&self) -> Markup {
        let knows_waiting = self.bars.iter().any(|bar| bar.sum.waiting.is_some());
        html! {
            details.numbers {
                summary { "The numbers as a table" }
                table {
                    thead { tr {
                        th { "From (UTC)" } th.number { "Published" } th.number { "Done" } th.number { "Failed" }
                        th.number { "Buried" } th.number { "Expired" } @if knows_waiting { th.number { "Waiting" } }
                    } }
                    tbody { @for Bar { sum, .. } in self.bars.iter().rev().filter(|bar| bar.is_eventful()) { tr {
                        td { time datetime=(sum.at.to_rfc3339_opts(SecondsFormat::Secs, true)) { (clock(sum.at)) } }
                        @for count in [sum.published, sum.done, sum.failed, sum.buried, sum.expired] {
                            td.number { (number(count)) }
                        }
                        @if knows_waiting { td.number { (sum.waiting.map_or_else(|| "–".to_owned(), number)) } }
                    } } }
                }
            }
        }
    }
}

/// A part of a stacked bar: its name, its class, and its value.
type Part = (&'static str, &'static str, fn(&Bar) -> u64);

impl Bar {
    fn is_eventful(&self) -> bool {
        let Activity { published, done, failed, buried, expired, .. } = self.sum;
        published + done + failed + buried + expired > 0
    }
}

/// The height of a chart, in its own units.
const HEIGHT: f64 = 100.0;

/// Returns the height of a value relative to the largest one; any value above 0 stays visible.
fn height(value: u64, most: u64) -> f64 {
    if value == 0 { 0.0 } else { (HEIGHT * value as f64 / most.max(1) as f64).max(1.0) }
}

fn clock(time: DateTime<Utc>) -> String {
    time.format("%d %b %H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    fn step(time: &str, done: u64, waiting: Option<u64>) -> Activity {
        let mut step = Activity::none(at(time));
        (step.done, step.waiting) = (done, waiting);
        step
    }

    #[test]
    fn bars_hold_what_happened_in_their_time_and_end_as_the_next_known_step() {
        let now = at("2026-11-23T10:00:20Z");
        let steps = [
            step("2026-11-23T09:00:00Z", 100, Some(9)),
            step("2026-11-23T09:01:00Z", 1, Some(7)),
            step("2026-11-23T09:30:00Z", 4, Some(5)),
            step("2026-11-23T10:00:00Z", 2, Some(3)),
        ];
        let chart = Chart::new(Span::Hour, &steps, (Some(3), None), now);
        assert_eq!(chart.bars.len(), 60);
        assert_eq!(chart.bars[0].sum.at, at("2026-11-23T09:01:00Z"));
        let done: Vec<_> = chart.bars.iter().map(|bar| bar.sum.done).filter(|done| *done > 0).collect();
        assert_eq!(done, [1, 4, 2], "what was before the first bar is left out");
        let waiting = |place: usize| chart.bars[place].sum.waiting;
        assert_eq!(
            [waiting(0), waiting(1), waiting(29), waiting(30), waiting(59)].map(Option::unwrap),
            [7, 5, 5, 3, 3]
        );
    }

    #[test]
    fn a_quarter_of_an_hour_is_the_sum_of_its_minutes() {
        let now = at("2026-11-23T10:01:00Z");
        let steps: Vec<_> =
            (0..15).map(|minute| step(&format!("2026-11-23T09:{:02}:00Z", 45 + minute), 2, None)).collect();
        let chart = Chart::new(Span::Day, &steps, (None, None), now);
        assert_eq!(chart.bars.len(), 96);
        assert_eq!(chart.bars[94].sum.done, 30);
        assert!(chart.waiting().is_none(), "a queue that does not know draws no line");
    }

    #[test]
    fn a_picture_says_its_numbers_in_words() {
        let now = at("2026-11-23T10:00:20Z");
        let steps = [step("2026-11-23T09:30:00Z", 1234, Some(5))];
        let chart = Chart::new(Span::Hour, &steps, (Some(8), Some(at("2026-11-23T09:50:20Z"))), now);
        let text = chart.outcomes().into_string();
        assert!(
            text.contains(
                "aria-label=\"Done and failed: 1,234 done, 0 failed and 0 buried, at most 1,234 in one minute\""
            ),
            "{text}"
        );
        let oldest = chart.oldest().expect("known").into_string();
        assert!(oldest.contains("10 min now, at most 10 min"), "{oldest}");
    }
}

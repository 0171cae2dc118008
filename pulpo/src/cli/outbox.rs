//! `outbox`: shows the waiting rows of outboxes, or the SQL that creates one.

use std::io::Write;

use chrono::Utc;
use clap::Args;
use serde_json::json;

use super::show;
use super::{Done, Format};
use crate::config::Config;
use crate::outbox::{self, Dialect, OutboxCounts, OutboxUrl};
use crate::report::chain;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  outbox                    count the jobs that wait in each database of the key `outbox`
  outbox --sql sqlite       the definition of the table, for your migrations
  outbox --sql postgres | psql shop

REFUSED counts the jobs that the queue refuses for good: the log of the worker or of `relay` says why.")]
pub(super) struct OutboxArguments {
    /// Print the SQL that creates the table: sqlite or postgres
    #[arg(long, value_name = "DIALECT")]
    sql: Option<Dialect>,
    #[command(flatten)]
    format: Format,
}

pub(super) fn run(
    config: &dyn Fn() -> Result<Config, Box<dyn std::error::Error>>,
    arguments: &OutboxArguments,
    out: &mut dyn Write,
) -> Done {
    if let Some(dialect) = arguments.sql {
        let sql = outbox::definition(dialect);
        if arguments.format.json {
            return show::json(out, &json!({ "dialect": dialect.as_str(), "sql": sql }));
        }
        out.write_all(sql.as_bytes())?;
        return Ok(());
    }
    let urls = config()?.worker.outbox;
    let now = Utc::now();
    let count = |url: &OutboxUrl| outbox::counts(url, now).map_err(|error| chain(&*error.into_source()));
    let looked: Vec<_> = urls.iter().map(|url| (url, count(url))).collect();
    if arguments.format.json {
        let all = looked.iter().map(|(url, counted)| match counted {
            Ok(OutboxCounts { waiting, refused }) => {
                json!({ "outbox": url.to_string(), "waiting": waiting, "refused": refused })
            }
            Err(error) => json!({ "outbox": url.to_string(), "error": error }),
        });
        show::json(out, &all.collect::<Vec<_>>())?;
    } else if looked.is_empty() {
        show::note(out, "no outbox is configured: set the key `outbox`")?;
    } else {
        for (url, counted) in &looked {
            if let Ok(OutboxCounts { waiting, refused }) = counted {
                let url = show::visible(&url.to_string());
                show::note(out, &format!("{url}: {waiting} waiting, {refused} refused"))?;
            }
        }
    }
    let failed: Vec<_> = looked.iter().filter_map(|(url, counted)| Some((url, counted.as_ref().err()?))).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let lines = failed.iter().map(|(url, error)| format!("cannot read the outbox at {url}: {error}"));
    Err(lines.collect::<Vec<_>>().join("\n").into())
}

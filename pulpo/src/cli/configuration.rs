//! `config`: shows the effective configuration, and where each value comes from.

use std::io::{Write, stderr};

use super::Done;
use super::show;
use super::table::{Cell, Column, Table, Tone};
use crate::config::{Config, Origin, Sources};

pub(super) fn run(sources: &Sources, as_json_text: bool, out: &mut dyn Write) -> Done {
    let settings = Config::explain(sources)?;
    for warning in Config::load_from(sources)?.warnings {
        writeln!(stderr(), "warning: {}", show::visible(&warning.to_string()))?;
    }
    if as_json_text {
        return show::json(out, &settings);
    }
    let mut table = Table::new(["KEY", "VALUE", "FROM"].map(Column::new));
    for setting in settings {
        let tone = if setting.origin == Origin::Default { Tone::Quiet } else { Tone::Plain };
        table.row([
            Cell::new(setting.key, tone),
            Cell::new(setting.value, tone),
            Cell::new(setting.origin.to_string(), tone),
        ]);
    }
    write!(out, "{table}")?;
    Ok(())
}

//! Reads what is to be published, for `publish` with bodies and with whole messages.

use std::error::Error;
use std::io::{self, Read as _, Write as _};

use super::show::{counted, visible};
use crate::registry::{Handler, Registry};
use crate::report::chain;

/// Number of messages that go into the queue at once.
pub(super) const BATCH: usize = 1000;

/// The maximum number of bad lines that are reported.
const MOST_TOLD: usize = 10;

/// The bad lines of a text. The first ones are reported on standard error.
pub(super) struct BadLines<'a> {
    from: &'a str,
    count: usize,
}

impl<'a> BadLines<'a> {
    /// Begins with none, for a text from this source.
    pub(super) fn of(from: &'a str) -> Self {
        Self { from, count: 0 }
    }

    /// Reports the fault of a line.
    pub(super) fn report(&mut self, number: usize, error: &(dyn Error + 'static)) -> io::Result<()> {
        self.count += 1;
        if self.count <= MOST_TOLD {
            let told = visible(&format!("line {number} of {}: {}", self.from, chain(error)));
            writeln!(io::stderr(), "{told}")?;
        }
        Ok(())
    }

    /// Reports how many were not reported, and returns how many there are.
    pub(super) fn end(self) -> io::Result<usize> {
        if self.count > MOST_TOLD {
            writeln!(io::stderr(), "and {} more", counted((self.count - MOST_TOLD) as u64, "bad line"))?;
        }
        Ok(self.count)
    }
}

/// Returns the handler of a request type, or an error that helps to find the right one.
pub(super) fn handler_of(registry: &Registry, wanted: &str) -> Result<&'static Handler, String> {
    registry.get(wanted).ok_or_else(|| match registry.nearest(wanted) {
        Some(nearest) => format!("no handler for the request type {wanted:?}; did you mean {nearest:?}?"),
        None => format!("no handler for the request type {wanted:?}; this program serves: {}", registry.known()),
    })
}

/// Reads all of standard input or of a file, and returns the source's name with it.
pub(super) fn read(source: &str) -> Result<(&str, String), Box<dyn Error>> {
    let (from, text) = match source.strip_prefix('@') {
        Some(file) => (file, std::fs::read_to_string(file)),
        None => {
            let mut text = String::new();
            ("standard input", io::stdin().read_to_string(&mut text).map(|_| text))
        }
    };
    let text = text.map_err(|error| format!("cannot read {from}: {error}"))?;
    // Windows editors begin a file with a byte order mark.
    Ok((from, text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)))
}

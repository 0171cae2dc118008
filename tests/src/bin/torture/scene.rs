//! The scene of the run: a folder, and the queue in it.

use std::io;
use std::path::{Path, PathBuf};

use pulpo::queue::{Filter, MessageState, QueueError};
use pulpo::{Config, Pulpo};
use pulpo_tests::beanstalkd::{BeanstalkdServer, Options};
use pulpo_tests::postgres::PostgresServer;
use serde::Serialize;

use crate::jobs::Task;
use crate::ledger::{self, Event, Ledger};

/// The kind of queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// The embedded queue.
    File,
    /// A beanstalkd server with `-b` and `-f0`.
    Beanstalkd,
    /// Three beanstalkd servers as one queue.
    Servers,
    /// A beanstalkd server that is down for a third of the time, behind a spool.
    Spool,
    /// A PostgreSQL database that syncs.
    Postgres,
}

impl Kind {
    pub(crate) fn is_beanstalkd(self) -> bool {
        matches!(self, Self::Beanstalkd | Self::Servers | Self::Spool)
    }
}

/// A server that is killed and restarted.
#[derive(Debug)]
pub(crate) enum Server {
    Beanstalkd(BeanstalkdServer),
    Postgres(PostgresServer),
}

impl Server {
    pub(crate) fn kill(&mut self) {
        match self {
            Self::Beanstalkd(server) => server.kill(),
            Self::Postgres(server) => server.kill(),
        }
    }

    pub(crate) fn restart(&mut self) {
        match self {
            Self::Beanstalkd(server) => server.restart(),
            Self::Postgres(server) => server.restart(),
        }
    }

    pub(crate) fn host_and_port(&self) -> Option<String> {
        match self {
            Self::Beanstalkd(server) => Some(format!("127.0.0.1:{}", server.port())),
            Self::Postgres(_) => None,
        }
    }
}

/// The folder and the queue, as the driver sees them.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) folder: PathBuf,
    pub(crate) address: String,
    /// The spool for publications while no server is up, if there is one.
    pub(crate) spool: Option<PathBuf>,
    pub(crate) servers: Vec<Server>,
    pub(crate) ledger: Ledger,
    pulpo: Pulpo,
}

impl Scene {
    pub(crate) fn new(kind: Kind, folder: &Path) -> Result<Self, Box<dyn std::error::Error>> {
        ledger::prepare(folder)?;
        let beanstalkd = |number: u32| -> io::Result<Server> {
            let binlog = folder.join(format!("binlog{number}"));
            std::fs::create_dir_all(&binlog)?;
            Ok(Server::Beanstalkd(Options::new().binlog(&binlog).start()))
        };
        let servers = match kind {
            Kind::File => Vec::new(),
            Kind::Beanstalkd | Kind::Spool => vec![beanstalkd(1)?],
            Kind::Servers => (1..=3).map(beanstalkd).collect::<io::Result<_>>()?,
            Kind::Postgres => vec![Server::Postgres(PostgresServer::with_settings(&[]))],
        };
        let address = match &*servers {
            [] => format!("file:{}", folder.join("queue").display()),
            [Server::Postgres(server), ..] => format!("{}?statement_timeout=2s", server.url()),
            servers => {
                let all: Vec<_> = servers.iter().filter_map(Server::host_and_port).collect();
                format!("beanstalkd://{}", all.join(","))
            }
        };
        let spool = (kind == Kind::Spool).then(|| folder.join("spool"));
        // Without the spool: the driver must not send its messages.
        let pulpo = Pulpo::new(Config::default().queue(&address)?)?;
        let ledger = Ledger::open(folder, "driver")?;
        Ok(Self { folder: folder.to_owned(), address, spool, servers, ledger, pulpo })
    }

    /// Returns the number of messages that still wait for something.
    pub(crate) fn pending(&self) -> Result<u64, QueueError> {
        let stats = self.pulpo.queue().stats()?;
        let in_spool = self.spool.as_ref().is_some_and(|spool| spool.join("spool.waiting").exists());
        let pending = stats.counts.iter().map(|counts| counts.ready + counts.delayed + counts.reserved);
        Ok(pending.sum::<u64>() + u64::from(in_spool))
    }

    /// Creates a desk, with a separate ledger, that takes the buried messages out of the queue.
    pub(crate) fn desk(&self) -> io::Result<Desk> {
        Ok(Desk { pulpo: self.pulpo.clone(), ledger: Ledger::open(&self.folder, "collector")? })
    }

    /// Records the messages that are still in the queue. There should be none.
    pub(crate) fn collect_left(&self) -> Result<(), QueueError> {
        for message in self.pulpo.queue().list(&Filter::all())? {
            let (id, state) = (message.id.to_string(), message.state.to_string());
            self.ledger.write(Event::Left { key: key(&message.text), id, state });
        }
        Ok(())
    }

    /// Tells the producers to end.
    pub(crate) fn end_producers(&self) -> io::Result<()> {
        std::fs::write(self.folder.join(crate::produce::OVER), "")
    }
}

/// Collects buried messages.
#[derive(Debug)]
pub(crate) struct Desk {
    pulpo: Pulpo,
    ledger: Ledger,
}

impl Desk {
    /// Takes the buried messages out of the queue and records their reasons, which keeps a long run
    /// from growing.
    pub(crate) fn collect_buried(&self) -> Result<(), QueueError> {
        let queue = self.pulpo.queue();
        let buried = queue.list(&Filter::all().state(MessageState::Buried))?;
        let ids: Vec<_> = buried.iter().map(|message| message.id.clone()).collect();
        for message in buried {
            let (id, attempts, reason) = (message.id.to_string(), message.attempts, message.last_error);
            self.ledger.write(Event::Buried { key: key(&message.text), id, attempts, reason });
        }
        if !ids.is_empty() {
            queue.delete(&Filter::all().state(MessageState::Buried).ids(ids))?;
        }
        Ok(())
    }
}

/// Returns the job that a message belongs to.
fn key(text: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Wire {
        body: Task,
    }
    serde_json::from_slice::<Wire>(text)
        .map_or_else(|_| format!("not ours: {}", String::from_utf8_lossy(text)), |wire| wire.body.key)
}

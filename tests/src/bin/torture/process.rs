//! A process that is restarted whenever it ends.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use crate::ledger::{Event, Fault};
use crate::life;
use crate::scene::Scene;

/// The role of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Producer,
    Worker,
}

/// A slot of the driver, which holds one process after the other.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) role: Role,
    index: usize,
    lives: u64,
    seed: u64,
    child: Option<Child>,
    pub(crate) name: String,
    /// When its pause ends.
    pub(crate) paused_until: Option<Instant>,
    /// Whether it has been told to end.
    pub(crate) stopping: bool,
}

/// The maximum number of messages that a worker holds when it dies: one in each lane, or a batch
/// and one more.
pub(crate) const LANES: u64 = 4;

impl Process {
    pub(crate) fn new(role: Role, index: usize, seed: u64) -> Self {
        let name = String::new();
        Self { role, index, lives: 0, seed, child: None, name, paused_until: None, stopping: false }
    }

    /// Starts the process, with the driver at the other end of its standard input.
    pub(crate) fn start(&mut self, scene: &Scene) -> io::Result<()> {
        self.lives += 1;
        let role = if self.role == Role::Worker { "worker" } else { "producer" };
        self.name = format!("{role}{}.{}", self.index, self.lives);
        (self.paused_until, self.stopping) = (None, false);
        let mut command = Command::new(std::env::current_exe()?);
        for (key, _) in std::env::vars_os() {
            let key = key.to_string_lossy().into_owned();
            if key.starts_with("PULPO_") || key.starts_with("RUST_") {
                command.env_remove(key);
            }
        }
        match self.role {
            Role::Worker => command.args(["work", "--concurrency", &LANES.to_string()]),
            Role::Producer => command.args(["produce", &self.seed.wrapping_add(self.lives << 16).to_string()]),
        };
        let log = OpenOptions::new().create(true).append(true).open(scene.folder.join(format!("{role}s.log")))?;
        if let Some(spool) = &scene.spool {
            command.env("PULPO_SPOOL", format!("file:{}", spool.display()));
        }
        let child = command
            .env("PULPO_QUEUE", &scene.address)
            .env("PULPO_SLEEP_DURATION", "1s")
            .env("PULPO_SHUTDOWN_GRACE", "1s")
            .env("PULPO_BEANSTALKD_QUEUE_ADAPTER__SOCKET_TIMEOUT", "2s")
            .env("RUST_LOG", "warn")
            .env(life::FOLDER, &scene.folder)
            .env(life::PROCESS, &self.name)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        self.child = Some(child);
        Ok(())
    }

    pub(crate) fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Inflicts this fault on the process, after recording it.
    pub(crate) fn suffer(&mut self, fault: Fault, scene: &Scene) -> io::Result<()> {
        let Some(child) = &mut self.child else { return Ok(()) };
        scene.ledger.write(Event::Fault { process: self.name.clone(), fault });
        match fault {
            Fault::Kill => child.kill(),
            Fault::Pause => signal("STOP", child),
            Fault::Stop => {
                self.stopping = true;
                signal("TERM", child)
            }
        }
    }

    /// Resumes the process after a pause.
    pub(crate) fn resume(&mut self) -> io::Result<()> {
        self.paused_until = None;
        self.child.as_ref().map_or(Ok(()), |child| signal("CONT", child))
    }

    /// Returns how the process has ended, if it has.
    pub(crate) fn ended(&mut self, scene: &Scene) -> io::Result<Option<ExitStatus>> {
        let Some(child) = &mut self.child else { return Ok(None) };
        let ended = child.try_wait()?;
        if let Some(status) = ended {
            self.child = None;
            let how = match status.signal() {
                Some(signal) => format!("signal {signal}"),
                None => format!("exit {}", status.code().unwrap_or(-1)),
            };
            scene.ledger.write(Event::Gone { process: self.name.clone(), how });
        }
        Ok(ended)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn signal(name: &str, child: &Child) -> io::Result<()> {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status()?;
    // A process that has just ended does not take a signal any more.
    let _ = sent;
    Ok(())
}

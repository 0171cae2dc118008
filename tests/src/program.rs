//! Running the programs of these tests, each test in a folder of its own.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use crate::beanstalkd::BeanstalkdServer;
use crate::postgres::PostgresServer;

/// A folder, where programs are run on a queue in it, or on a server.
#[derive(Debug)]
pub struct Sandbox {
    folder: tempfile::TempDir,
    server: Option<BeanstalkdServer>,
    /// A PostgreSQL, and the URL of a queue in it.
    database: Option<(Arc<PostgresServer>, String)>,
}

/// What a program said in the end.
#[derive(Debug)]
pub struct CommandOutput {
    /// On standard output.
    pub out: String,
    /// On standard error.
    pub err: String,
    /// Its exit code.
    pub code: i32,
}

impl CommandOutput {
    /// Runs a command to its end.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn of(mut command: Command) -> Self {
        said(command.stdin(Stdio::null()).output().expect("started"))
    }
}

impl Sandbox {
    /// An empty folder.
    ///
    /// # Panics
    /// If none can be made.
    #[must_use]
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), server: None, database: None }
    }

    /// An empty folder, and a beanstalkd of its own for the queue.
    ///
    /// # Panics
    /// If none can be made.
    #[must_use]
    pub fn with_beanstalkd() -> Self {
        Self { server: Some(BeanstalkdServer::start()), ..Self::new() }
    }

    /// An empty folder, and a queue of its own in the PostgreSQL that the tests of
    /// this process share.
    ///
    /// # Panics
    /// If none can be made.
    #[must_use]
    pub fn with_postgres() -> Self {
        let server = PostgresServer::shared();
        let url = server.fresh_url();
        Self { database: Some((server, url)), ..Self::new() }
    }

    /// Whether the queue is in a PostgreSQL.
    #[must_use]
    pub fn has_database(&self) -> bool {
        self.database.is_some()
    }

    /// The text that one row has of the queue in PostgreSQL; `SCHEMA` stands for
    /// its schema.
    ///
    /// # Panics
    /// If there is none here, or the statement is wrong.
    #[must_use]
    pub fn ask_database(&self, sql: &str) -> String {
        let (server, url) = self.database.as_ref().expect("a database");
        let (_, schema) = url.split_once("schema=").expect("a schema");
        server.psql(&sql.replace("SCHEMA", schema))
    }

    /// Whether a beanstalkd is here.
    #[must_use]
    pub fn has_server(&self) -> bool {
        self.server.is_some()
    }

    /// Where the beanstalkd listens.
    ///
    /// # Panics
    /// If there is none here.
    #[must_use]
    pub fn server_address(&self) -> String {
        format!("127.0.0.1:{}", self.server.as_ref().expect("a server").port())
    }

    /// Whether the queue is that of a beanstalkd.
    #[must_use]
    pub fn is_on_a_server(&self) -> bool {
        self.server.is_some()
    }

    /// A file in the folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where the handlers write down what they did.
    #[must_use]
    pub fn record(&self) -> String {
        std::fs::read_to_string(self.path("record")).unwrap_or_default()
    }

    /// A program to be run here, with nothing of our environment that it
    /// would listen to.
    #[must_use]
    pub fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        for (key, _) in std::env::vars_os() {
            let name = key.to_string_lossy();
            if name.starts_with("PULPO_") || name.starts_with("RUST_") {
                command.env_remove(&key);
            }
        }
        command.args(arguments).current_dir(self.folder.path()).env("RECORD", self.path("record"));
        if let Some(server) = &self.server {
            command.env("PULPO_QUEUE", format!("beanstalkd://127.0.0.1:{}", server.port()));
        }
        if let Some((_, url)) = &self.database {
            command.env("PULPO_QUEUE", url);
        }
        command
    }

    /// Runs a program to its end.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn run(&self, program: &str, arguments: &[&str]) -> CommandOutput {
        said(self.command(program, arguments).stdin(Stdio::null()).output().expect("started"))
    }

    /// Runs a command to its end.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn to_end(&self, command: &mut Command) -> CommandOutput {
        said(command.stdin(Stdio::null()).output().expect("started"))
    }

    /// Runs a program to its end with this as its standard input.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn run_with_input(&self, program: &str, arguments: &[&str], input: &str) -> CommandOutput {
        let mut child = self
            .command(program, arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("read");
        said(child.wait_with_output().expect("an end"))
    }

    /// Starts a program and lets it run. Its standard error goes to the file
    /// `log` of the folder.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start(&self, command: Command) -> Running {
        self.start_with_log(command, "log")
    }

    /// The same with a log of its own.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start_with_log(&self, mut command: Command, name: &str) -> Running {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path(name)).expect("a log");
        Running(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("started"))
    }

    /// The same, and its standard output goes to the file `out` of the folder.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start_with_output(&self, mut command: Command) -> Running {
        let file = |name| std::fs::OpenOptions::new().create(true).append(true).open(self.path(name)).expect("a file");
        Running(command.stdin(Stdio::null()).stdout(file("out")).stderr(file("log")).spawn().expect("started"))
    }

    /// What started programs have logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// What the log of this name says so far.
    #[must_use]
    pub fn log_named(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// The folder itself.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

fn said(output: Output) -> CommandOutput {
    CommandOutput {
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
        code: output.status.code().unwrap_or(-1),
    }
}

/// A program that runs; killed when this is dropped.
#[derive(Debug)]
pub struct Running(Child);

impl Running {
    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Sends it a signal: `TERM`, `KILL`, `STOP`.
    ///
    /// # Panics
    /// If it cannot be sent.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.0.id().to_string()]).status();
        assert!(sent.expect("kill is there").success(), "signal {name} was not sent");
    }

    /// Whether it has ended.
    ///
    /// # Panics
    /// If the system does not say.
    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().expect("a child of ours").is_some()
    }

    /// Waits for its end; its exit code, -1 if a signal ended it.
    ///
    /// # Panics
    /// If it does not end in half a minute.
    pub fn end(mut self) -> i32 {
        crate::wait::until("the program ends", || self.has_ended());
        self.0.wait().expect("a child of ours").code().unwrap_or(-1)
    }
}

impl From<Child> for Running {
    fn from(child: Child) -> Self {
        Self(child)
    }
}

impl Running {
    /// Waits for its end; the number of the signal that ended it, if one did.
    ///
    /// # Panics
    /// If it does not end in half a minute.
    #[cfg(unix)]
    #[must_use]
    pub fn end_by_signal(mut self) -> Option<i32> {
        use std::os::unix::process::ExitStatusExt as _;
        crate::wait::until("the program ends", || self.has_ended());
        self.0.wait().expect("a child of ours").signal()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

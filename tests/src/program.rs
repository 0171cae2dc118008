//! Runs the programs of these tests, each test in its own folder.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use crate::beanstalkd::BeanstalkdServer;
use crate::postgres::PostgresServer;

/// A folder in which programs run, with a queue in it or on a server.
#[derive(Debug)]
pub struct Sandbox {
    folder: tempfile::TempDir,
    server: Option<BeanstalkdServer>,
    /// A PostgreSQL server, and the URL of a queue on it.
    database: Option<(Arc<PostgresServer>, String)>,
}

/// The output of a program that has ended.
#[derive(Debug)]
pub struct CommandOutput {
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
    /// Its exit code.
    pub code: i32,
}

impl CommandOutput {
    /// Runs a command until it ends.
    ///
    /// # Panics
    /// Panics if it cannot be started.
    #[must_use]
    pub fn of(mut command: Command) -> Self {
        said(command.stdin(Stdio::null()).output().expect("started"))
    }
}

impl Sandbox {
    /// Creates an empty folder.
    ///
    /// # Panics
    /// Panics if it cannot be created.
    #[must_use]
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), server: None, database: None }
    }

    /// Creates an empty folder, and starts a beanstalkd for its queue.
    ///
    /// # Panics
    /// Panics if it cannot be created.
    #[must_use]
    pub fn with_beanstalkd() -> Self {
        Self { server: Some(BeanstalkdServer::start()), ..Self::new() }
    }

    /// Creates an empty folder, and a separate queue on the PostgreSQL server that the tests of
    /// this process share.
    ///
    /// # Panics
    /// Panics if it cannot be created.
    #[must_use]
    pub fn with_postgres() -> Self {
        let server = PostgresServer::shared();
        let url = server.fresh_url();
        Self { database: Some((server, url)), ..Self::new() }
    }

    /// Checks whether the queue is in PostgreSQL.
    #[must_use]
    pub fn has_database(&self) -> bool {
        self.database.is_some()
    }

    /// Runs a query on the queue in PostgreSQL that returns one row of text; `SCHEMA` stands for
    /// its schema.
    ///
    /// # Panics
    /// Panics if the sandbox has no PostgreSQL, or if the statement fails.
    #[must_use]
    pub fn ask_database(&self, sql: &str) -> String {
        let (server, url) = self.database.as_ref().expect("a database");
        let (_, schema) = url.split_once("schema=").expect("a schema");
        server.psql(&sql.replace("SCHEMA", schema))
    }

    /// Returns the URL of its database, as any client reads it, and the schema of the queue in it.
    ///
    /// # Panics
    /// Panics if the sandbox has no PostgreSQL.
    #[must_use]
    pub fn database(&self) -> (&str, &str) {
        let (_, url) = self.database.as_ref().expect("a database");
        url.split_once("?schema=").expect("a schema")
    }

    /// Checks whether the sandbox has a beanstalkd.
    #[must_use]
    pub fn has_server(&self) -> bool {
        self.server.is_some()
    }

    /// Returns the address of the beanstalkd.
    ///
    /// # Panics
    /// Panics if the sandbox has no beanstalkd.
    #[must_use]
    pub fn server_address(&self) -> String {
        format!("127.0.0.1:{}", self.server.as_ref().expect("a server").port())
    }

    /// Checks whether the queue is on the beanstalkd.
    #[must_use]
    pub fn is_on_a_server(&self) -> bool {
        self.server.is_some()
    }

    /// Returns the path of a file in the folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns the text that the handlers have recorded.
    #[must_use]
    pub fn record(&self) -> String {
        std::fs::read_to_string(self.path("record")).unwrap_or_default()
    }

    /// Returns a command that runs a program in the folder, without any environment variable that it would read.
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

    /// Runs a program until it ends.
    ///
    /// # Panics
    /// Panics if it cannot be started.
    #[must_use]
    pub fn run(&self, program: &str, arguments: &[&str]) -> CommandOutput {
        said(self.command(program, arguments).stdin(Stdio::null()).output().expect("started"))
    }

    /// Runs a command until it ends.
    ///
    /// # Panics
    /// Panics if it cannot be started.
    #[must_use]
    pub fn to_end(&self, command: &mut Command) -> CommandOutput {
        said(command.stdin(Stdio::null()).output().expect("started"))
    }

    /// Runs a program with this standard input until it ends.
    ///
    /// # Panics
    /// Panics if it cannot be started.
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

    /// Starts a program and leaves it running. Its standard error goes to the file `log` of the folder.
    ///
    /// # Panics
    /// Panics if it cannot be started.
    #[must_use]
    pub fn start(&self, command: Command) -> Running {
        self.start_with_log(command, "log")
    }

    /// Starts a program with a separate log.
    ///
    /// # Panics
    /// Panics if it cannot be started.
    #[must_use]
    pub fn start_with_log(&self, mut command: Command, name: &str) -> Running {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path(name)).expect("a log");
        Running(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("started"))
    }

    /// Starts a program; its standard output goes to the file `out` of the folder.
    ///
    /// # Panics
    /// Panics if it cannot be started.
    #[must_use]
    pub fn start_with_output(&self, mut command: Command) -> Running {
        let file = |name| std::fs::OpenOptions::new().create(true).append(true).open(self.path(name)).expect("a file");
        Running(command.stdin(Stdio::null()).stdout(file("out")).stderr(file("log")).spawn().expect("started"))
    }

    /// Returns the log of the started programs so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Returns the content of the log of this name so far.
    #[must_use]
    pub fn log_named(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Returns the folder.
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

/// A running program, killed on drop.
#[derive(Debug)]
pub struct Running(Child);

impl Running {
    /// Returns its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Sends the program a signal: `TERM`, `KILL`, `STOP`.
    ///
    /// # Panics
    /// Panics if it cannot be sent.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.0.id().to_string()]).status();
        assert!(sent.expect("kill is there").success(), "signal {name} was not sent");
    }

    /// Checks whether the program has ended.
    ///
    /// # Panics
    /// Panics if the system does not report it.
    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().expect("a child of ours").is_some()
    }

    /// Waits for the end of the program. Returns its exit code, or -1 if a signal ended it.
    ///
    /// # Panics
    /// Panics if it does not end in two minutes.
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
    /// Waits for the end of the program. Returns the number of the signal that ended it, if any.
    ///
    /// # Panics
    /// Panics if it does not end in two minutes.
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

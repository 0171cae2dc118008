//! Real PostgreSQL servers, each with its own data folder on a free port, and real poolers in front
//! of them.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::beanstalkd::free_port;

/// A server, stopped on drop.
#[derive(Debug)]
pub struct PostgresServer {
    folder: TempDir,
    port: u16,
    settings: Vec<String>,
    child: Option<Child>,
}

impl PostgresServer {
    /// Starts a server that trusts everybody on this machine and does not wait for the disk.
    /// Killing the server loses nothing because of that.
    ///
    /// # Panics
    /// Panics if there is no PostgreSQL, or it does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::with_settings(&["fsync=off", "full_page_writes=off"])
    }

    /// Starts a server that waits for the disk as it does in production.
    ///
    /// # Panics
    /// Panics if there is no PostgreSQL, or it does not start.
    #[must_use]
    pub fn durable() -> Self {
        Self::with_settings(&["shared_buffers=128MB", "max_wal_size=2GB"])
    }

    /// Starts a server with these settings.
    ///
    /// # Panics
    /// Panics if there is no PostgreSQL, or it does not start.
    #[must_use]
    pub fn with_settings(settings: &[&str]) -> Self {
        let folder = TempDir::with_prefix("postgres-").expect("a folder");
        give(folder.path());
        let data = folder.path().join("data");
        let made = owned(Command::new(program("initdb")).arg("-D").arg(&data))
            .args(["--auth=trust", "--username=postgres", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"])
            .output()
            .expect("run initdb");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let mut server = Self { folder, port: free_port(), settings, child: None };
        // Another process may take the free port before the server binds it.
        for _ in 0..20 {
            if server.launch() {
                return server;
            }
            server.port = free_port();
        }
        panic!("PostgreSQL does not start: {}", server.log());
    }

    /// Starts a server that encrypts connections, with a certificate only for the host `localhost`.
    /// Returns it with the file of the authority's certificate.
    ///
    /// # Panics
    /// Panics if there is no PostgreSQL or no openssl, or the server does not start.
    #[must_use]
    pub fn encrypted() -> (Self, PathBuf) {
        let mut server = Self::start();
        server.kill();
        let folder = server.folder.path().to_owned();
        let openssl = |arguments: &str| {
            let mut command = Command::new("openssl");
            let made = command.args(arguments.split(' ')).current_dir(&folder).output();
            let made = made.expect("expected openssl to be installed (apt-get install openssl)");
            assert!(made.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&made.stderr));
        };
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        openssl(&format!("req -x509 {key} -days 2 -subj /CN=authority -keyout ca.key -out ca.pem"));
        openssl(&format!("req {key} -subj /CN=localhost -keyout server.key -out server.csr"));
        fs::write(folder.join("names"), "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n")
            .expect("the names");
        openssl(
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem",
        );
        let key = folder.join("server.key");
        give(&key);
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("a key for the server");
        give(&folder.join("server.pem"));
        for (setting, file) in [("ssl_cert_file", "server.pem"), ("ssl_key_file", "server.key")] {
            server.settings.push(format!("{setting}={}", folder.join(file).display()));
        }
        server.settings.push("ssl=on".to_owned());
        server.restart();
        (server, folder.join("ca.pem"))
    }

    /// Returns a server that the tests of this process share, each in its own schema. It stops when
    /// the last test drops it.
    ///
    /// # Panics
    /// Panics if there is no PostgreSQL, or it does not start.
    #[must_use]
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<PostgresServer>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Self::start());
            *shared = Arc::downgrade(&server);
            server
        })
    }

    /// Returns the port on which it listens, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns its first process.
    ///
    /// # Panics
    /// If it was killed.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Returns the URL of its database.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Returns the URL of a queue that nothing else uses.
    #[must_use]
    pub fn fresh_url(&self) -> String {
        static SCHEMAS: AtomicU32 = AtomicU32::new(1);
        format!("{}?schema=queue_{}", self.url(), SCHEMAS.fetch_add(1, Ordering::Relaxed))
    }

    /// Stops the server at once, as a crash would: unwritten data is lost.
    ///
    /// # Panics
    /// Panics if this fails.
    pub fn kill(&mut self) {
        self.signal("QUIT");
        let ended = self.child.take().expect("it runs").wait();
        ended.expect("wait for PostgreSQL");
    }

    /// Starts the server again with the same options, after [`PostgresServer::kill`].
    ///
    /// # Panics
    /// Panics if it does not start.
    pub fn restart(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(90);
        while !self.launch() {
            assert!(Instant::now() < deadline, "PostgreSQL does not start again: {}", self.log());
        }
    }

    /// Sends its main process a signal: `STOP`, `CONT`, `QUIT`.
    ///
    /// # Panics
    /// Panics if this fails.
    pub fn signal(&self, name: &str) {
        let id = self.child.as_ref().expect("it runs").id();
        let status = Command::new("kill").arg(format!("-{name}")).arg(id.to_string()).status();
        assert!(status.expect("run kill").success(), "kill -{name}");
    }

    /// Sends a signal to the server and its child processes, which serve the clients.
    ///
    /// # Panics
    /// If that is not possible.
    pub fn signal_all(&self, name: &str) {
        let id = self.id();
        let kill = |ids: &[&str]| Command::new("kill").arg(format!("-{name}")).args(ids).stderr(Stdio::null()).status();
        // First the process that starts the others. Of those, one may end at any time.
        assert!(kill(&[&id.to_string()]).expect("run kill").success(), "kill -{name}");
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).expect("its children");
        kill(&children.split_whitespace().collect::<Vec<_>>()).expect("run kill");
    }

    /// Returns psql's output for these statements, with columns separated by `|`.
    ///
    /// # Panics
    /// Panics if one of them fails.
    #[must_use]
    pub fn psql(&self, sql: &str) -> String {
        self.try_psql(sql).unwrap_or_else(|error| panic!("psql: {error}"))
    }

    /// Returns psql's output, or its error message.
    ///
    /// # Errors
    /// Fails if a statement fails.
    ///
    /// # Panics
    /// Panics if psql cannot be run.
    pub fn try_psql(&self, sql: &str) -> Result<String, String> {
        let said = Command::new(program("psql"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &self.url(), "-c", sql])
            .output()
            .expect("run psql");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        if said.status.success() { Ok(text(&said.stdout)) } else { Err(text(&said.stderr)) }
    }

    /// Tries to start the server. Returns whether that worked.
    fn launch(&mut self) -> bool {
        let data = self.folder.path().join("data");
        // Left by a server that was killed.
        let _ = fs::remove_file(data.join("postmaster.pid"));
        let log = fs::File::create(self.folder.path().join("log")).expect("a log");
        let mut command = Command::new(program("postgres"));
        owned(command.arg("-D").arg(&data)).args([
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "unix_socket_directories=",
        ]);
        command.args(["-c", "max_connections=200", "-c", "autovacuum_naptime=5s", "-p", &self.port.to_string()]);
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("run postgres");
        let deadline = Instant::now() + Duration::from_secs(90);
        loop {
            if child.try_wait().expect("wait for postgres").is_some() {
                return false;
            }
            if is_ready(self.port) {
                self.child = Some(child);
                return true;
            }
            assert!(Instant::now() < deadline, "PostgreSQL does not answer: {}", self.log());
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    /// Returns the log of the server.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Stop at once, child processes too.
            let _ = Command::new("kill").arg("-QUIT").arg(child.id().to_string()).status();
            let _ = child.wait();
        }
    }
}

/// A pgbouncer that pools by transaction, stopped on drop.
#[derive(Debug)]
pub struct Pooler {
    _folder: TempDir,
    port: u16,
    child: Child,
}

impl Pooler {
    /// Starts a pooler in front of this server, with this many connections to it.
    ///
    /// # Panics
    /// Panics if there is no pgbouncer, or it does not start.
    #[must_use]
    pub fn start(server: &PostgresServer, connections: u32) -> Self {
        let folder = TempDir::with_prefix("pgbouncer-").expect("a folder");
        give(folder.path());
        let port = free_port();
        let users = folder.path().join("users");
        fs::write(&users, "\"postgres\" \"\"\n").expect("the users");
        let file = folder.path().join("pgbouncer.ini");
        let settings = format!(
            "[databases]\npostgres = host=127.0.0.1 port={} dbname=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = transaction\n\
             default_pool_size = {connections}\nmax_client_conn = 500\nserver_reset_query_always = 0\n",
            server.port(),
            users.display()
        );
        fs::write(&file, settings).expect("the settings");
        for file in [&users, &file] {
            give(file);
        }
        let mut command = Command::new("pgbouncer");
        let child = owned(command.arg(&file))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("expected pgbouncer to be installed (apt-get install pgbouncer)");
        let pooler = Self { _folder: folder, port, child };
        crate::wait::until("pgbouncer answers", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        pooler
    }

    /// Returns the URL of a queue behind the pooler.
    #[must_use]
    pub fn url(&self, schema: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres?schema={schema}&notify=false", self.port)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the path of a program of the newest installed PostgreSQL.
fn program(name: &str) -> PathBuf {
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let version = |path: &Path| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let newest = installed.map(|entry| entry.path()).max_by_key(|path| version(path));
    let program = newest.map_or_else(|| PathBuf::from(name), |path| path.join("bin").join(name));
    assert!(
        program.components().count() == 1 || program.exists(),
        "expected {} (apt-get install postgresql)",
        program.display()
    );
    program
}

/// PostgreSQL and pgbouncer refuse to run as root. In that case, runs them as the user that the
/// distribution created for them.
fn owned(command: &mut Command) -> &mut Command {
    match server_user() {
        Some((user, group)) => command.uid(user).gid(group),
        None => command,
    }
}

/// Gives the file to that user.
fn give(path: &Path) {
    if let Some((user, group)) = server_user() {
        chown(path, Some(user), Some(group)).expect("a file for the server");
    }
    if path.is_dir() {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).expect("a folder for the server");
    }
}

/// Returns the ids of that user, if we are root.
fn server_user() -> Option<(u32, u32)> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    if ids.split_whitespace().nth(1)? != "0" {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("the users of this machine");
    let user = users.lines().find(|line| line.starts_with("postgres:")).expect("the user postgres");
    let mut fields = user.split(':').skip(2).map(|id| id.parse().expect("an id"));
    Some((fields.next()?, fields.next()?))
}

/// Checks whether a server on this port is ready for statements.
fn is_ready(port: u16) -> bool {
    let said = Command::new(program("pg_isready"))
        .args(["-q", "-h", "127.0.0.1", "-p", &port.to_string(), "-t", "5"])
        .status();
    said.is_ok_and(|status| status.success())
}

//! Encrypted connections to PostgreSQL: for the queue and for outboxes.

use std::path::Path;

use pulpo::{Config, Pulpo};
use pulpo_tests::postgres::PostgresServer;
use pulpo_tests::program::Sandbox;
use pulpo_tests::wait;

const SERVICE: &str = env!("CARGO_BIN_EXE_order_service");

/// Returns the number of encrypted sessions.
fn encrypted(server: &PostgresServer) -> String {
    server.psql(
        "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl AND application_name = 'pulpo'",
    )
}

fn open(server: &PostgresServer, host: &str, parameters: &str) -> Result<Pulpo, String> {
    let url = format!("postgres://postgres@{host}:{}/postgres?{parameters}", server.port());
    let config = Config::default().queue(&url).map_err(|error| chain(&error))?;
    let pulpo = Pulpo::new(config).map_err(|error| chain(&error))?;
    pulpo.queue().stats().map_err(|error| chain(&error))?;
    Ok(pulpo)
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn root(file: &Path) -> String {
    format!("sslrootcert={}", file.display())
}

#[test]
fn the_queue_requests_from_the_server_what_the_url_says() {
    let (server, authority) = PostgresServer::encrypted();
    let root = root(&authority);
    let other = tempfile::NamedTempFile::new().expect("a file");
    for (host, parameters, is_encrypted) in [
        ("localhost", "sslmode=disable".to_owned(), false),
        ("127.0.0.1", String::new(), true),
        ("127.0.0.1", "sslmode=require".to_owned(), true),
        ("127.0.0.1", format!("sslmode=verify-ca&{root}"), true),
        ("localhost", format!("sslmode=verify-full&{root}"), true),
    ] {
        let pulpo = open(&server, host, &parameters).unwrap_or_else(|error| panic!("{host} {parameters}: {error}"));
        assert_eq!(encrypted(&server) != "0", is_encrypted, "{host} {parameters}");
        drop(pulpo);
    }
    let empty = format!("sslmode=verify-ca&sslrootcert={}", other.path().display());
    for (host, parameters, expected) in [
        ("127.0.0.1", format!("sslmode=verify-full&{root}"), "`verify-ca` does not"),
        // The system's certificate authorities do not include ours.
        ("localhost", "sslmode=verify-full".to_owned(), "sslrootcert=FILE"),
        ("localhost", empty, "expected a certificate in PEM"),
        ("localhost", "sslmode=verify-ca&sslrootcert=nowhere.pem".to_owned(), "cannot read nowhere.pem"),
        ("localhost", "sslmode=perhaps".to_owned(), "expected disable, prefer, require, verify-ca or verify-full"),
    ] {
        let error = open(&server, host, &parameters).expect_err(&parameters);
        assert!(error.contains(expected), "{parameters}: {error}");
    }
}

#[test]
fn a_server_that_does_not_encrypt_is_refused_where_that_is_demanded() {
    let server = PostgresServer::shared();
    let error = open(&server, "127.0.0.1", "sslmode=require&schema=unencrypted").expect_err("refused");
    assert!(error.contains("set `ssl = on` on the server"), "{error}");
    assert!(open(&server, "127.0.0.1", "sslmode=prefer&schema=unencrypted").is_ok());
}

#[test]
fn the_relay_of_an_outbox_encrypts_too() {
    let (server, authority) = PostgresServer::encrypted();
    let url =
        format!("postgres://postgres@localhost:{}/postgres?sslmode=verify-full&{}", server.port(), root(&authority));
    let said = server.psql(pulpo::outbox::definition(pulpo::outbox::Dialect::Postgres));
    assert_eq!(said, "");
    let place = Sandbox::new();
    let relay = |url: &str| {
        let mut command = place.command(SERVICE, &["relay", "--once"]);
        place.to_end(command.env("PULPO_OUTBOX", url))
    };
    let said = relay(&url);
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "moved 0 jobs\n", ""));
    let said = relay(&url.replace("localhost", "127.0.0.1"));
    assert!(said.code == 1 && said.err.contains("certificate"), "{}", said.err);
}

#[test]
fn a_server_that_demands_encryption_is_recognised() {
    let (server, _) = PostgresServer::encrypted();
    let rules = "SELECT 'hostssl all all all trust'";
    let _ = server.psql(&format!(
        "DO $$ BEGIN EXECUTE format('COPY ({} ) TO %L', current_setting('hba_file')); END $$; SELECT pg_reload_conf()",
        rules.replace('\'', "''")
    ));
    wait::until("the rules hold", || open(&server, "127.0.0.1", "sslmode=disable").is_err());
    let error = open(&server, "127.0.0.1", "sslmode=disable").expect_err("refused");
    assert!(error.contains("set `sslmode=require` in the URL"), "{error}");
    assert!(open(&server, "127.0.0.1", "").is_ok(), "it encrypts unasked");
}

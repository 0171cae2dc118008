//! Whether and how connections are encrypted.

use tokio_postgres::config::SslMode;
use tokio_postgres::{Config, NoTls};

use super::error::PostgresError;

/// Without the feature `postgres-tls` no connection is encrypted, and a URL that
/// demands it is refused.
pub(super) fn connector(config: &Config) -> Result<NoTls, PostgresError> {
    if config.get_ssl_mode() == SslMode::Require {
        return Err(PostgresError::permanent(
            "`sslmode=require`: build the program with the feature `postgres-tls` of pulpo, or encrypt by other means",
        ));
    }
    Ok(NoTls)
}

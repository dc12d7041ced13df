//! Why the store refuses: SQLite's reason, or a problem of the request.

use api::Problem;

/// What a call of the store fails with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// SQLite failed.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// An idempotency key has just been used by another request.
    #[error("this idempotency key has just been used")]
    Repeated,
    /// The request cannot be done with what is stored.
    #[error(transparent)]
    Problem(#[from] Problem),
}

impl From<Error> for Problem {
    fn from(e: Error) -> Self {
        let e = match e {
            Error::Problem(problem) => return problem,
            Error::Repeated => return Self::conflict(e.to_string()),
            Error::Sqlite(e) => e,
        };
        match e.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::host("no space is left for the store"),
            Some(rusqlite::ErrorCode::ReadOnly) => Self::host("the store is on a read-only file system"),
            Some(rusqlite::ErrorCode::DatabaseBusy) => {
                Self::host("another node has this store open").hint("choose others with --run and --state")
            }
            _ => Self::node(format!("the store: {e}")),
        }
    }
}

//! Tokens, by the digest of what only their owner knows.

use super::Error;
use super::Store;
use api::token::{Role, Token, TokenSpec};
use machine::timeline::unix_ns;
use rusqlite::{OptionalExtension, params};

/// Uses of a token within such a time are written down once, nanoseconds.
const SAME_USE_NS: u64 = 60_000_000_000;

/// Whose request it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// Name of the token.
    pub name: String,
    /// What it is good for.
    pub role: Role,
}

fn signed(at: u64) -> i64 {
    i64::try_from(at).unwrap_or(i64::MAX)
}

impl Store {
    /// Keeps a token; `false` if the name is taken.
    pub fn add_token(&self, token: &TokenSpec, digest: &str) -> Result<bool, Error> {
        let sql = "INSERT OR IGNORE INTO tokens (name, role, digest, expires) VALUES (?, ?, ?, ?)";
        let values =
            params![token.name, super::write(&token.role), digest, token.expires_unix_ns.map(signed)];
        Ok(self.db().execute(sql, values)? == 1)
    }

    /// All tokens, by name, those that have expired too.
    pub fn tokens(&self) -> Result<Vec<Token>, Error> {
        let db = self.db();
        let mut statement =
            db.prepare_cached("SELECT name, role, expires, used FROM tokens ORDER BY name")?;
        let rows = statement.query_map([], |r| {
            let at = |column| r.get::<_, Option<i64>>(column).map(|at| at.map(i64::cast_unsigned));
            Ok(Token {
                name: r.get(0)?,
                role: super::read(&r.get::<_, String>(1)?)?,
                expires_unix_ns: at(2)?,
                used_unix_ns: at(3)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Whose token has this digest, if it is still valid.
    pub fn bearer(&self, digest: &str) -> Result<Option<Bearer>, Error> {
        let sql = "SELECT name, role FROM tokens WHERE digest = ? AND (expires IS NULL OR expires > ?)";
        let db = self.db();
        let mut statement = db.prepare_cached(sql)?;
        let found = statement.query_row(params![digest, signed(unix_ns())], |r| {
            Ok(Bearer { name: r.get(0)?, role: super::read(&r.get::<_, String>(1)?)? })
        });
        Ok(found.optional()?)
    }

    /// A token is used now.
    pub fn note_use(&self, digest: &str) -> Result<(), Error> {
        let now = unix_ns();
        let sql = "UPDATE tokens SET used = ? WHERE digest = ? AND (used IS NULL OR used < ?)";
        let values = params![signed(now), digest, signed(now.saturating_sub(SAME_USE_NS))];
        self.db().prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// Forgets a token; whether there was one.
    pub fn remove_token(&self, name: &str) -> Result<bool, Error> {
        Ok(self.db().execute("DELETE FROM tokens WHERE name = ?", [name])? == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_good_until_it_expires_and_its_use_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let hour = 3_600_000_000_000;
        for (name, expires) in [("old", unix_ns() - hour), ("new", unix_ns() + hour)] {
            let spec = TokenSpec { name: name.into(), role: Role::Read, expires_unix_ns: Some(expires) };
            assert!(store.add_token(&spec, name).unwrap());
        }
        assert_eq!(store.bearer("old").unwrap(), None);
        assert_eq!(store.bearer("new").unwrap(), Some(Bearer { name: "new".into(), role: Role::Read }));
        store.note_use("new").unwrap();
        let used = store.tokens().unwrap()[0].used_unix_ns;
        assert!(used.is_some());
        // Again within the minute: nothing is written.
        store.note_use("new").unwrap();
        assert_eq!(store.tokens().unwrap()[0].used_unix_ns, used);
        assert_eq!(store.tokens().unwrap()[1].used_unix_ns, None);
    }
}

//! Tokens, by the digest of what only their owner knows.

use super::Error;
use super::Store;
use api::token::{Role, Token};
use rusqlite::{OptionalExtension, params};

impl Store {
    /// Keeps a token; `false` if the name is taken.
    pub fn add_token(&self, token: &Token, digest: &str) -> Result<bool, Error> {
        let sql = "INSERT OR IGNORE INTO tokens (name, role, digest) VALUES (?, ?, ?)";
        Ok(self.db().execute(sql, params![token.name, super::write(&token.role), digest])? == 1)
    }

    /// All tokens, by name.
    pub fn tokens(&self) -> Result<Vec<Token>, Error> {
        let db = self.db();
        let mut statement = db.prepare_cached("SELECT name, role FROM tokens ORDER BY name")?;
        let rows = statement
            .query_map([], |r| Ok(Token { name: r.get(0)?, role: super::read(&r.get::<_, String>(1)?)? }))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// What the token with this digest is good for.
    pub fn role(&self, digest: &str) -> Result<Option<Role>, Error> {
        let sql = "SELECT role FROM tokens WHERE digest = ?";
        let db = self.db();
        let mut statement = db.prepare_cached(sql)?;
        Ok(statement.query_row([digest], |r| super::read(&r.get::<_, String>(0)?)).optional()?)
    }

    /// Forgets a token; whether there was one.
    pub fn remove_token(&self, name: &str) -> Result<bool, Error> {
        Ok(self.db().execute("DELETE FROM tokens WHERE name = ?", [name])? == 1)
    }
}

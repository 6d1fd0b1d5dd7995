//! [`Secrets`]: passwords and keys, of which nothing but hashes is kept.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::{Error, SaltString};
use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version};
use roomful::EventError;
use tokio::sync::Semaphore;

use crate::social::Result;

/// Passwords that are hashed at the same time: each takes 19 MiB and a core. Others wait, in order, and
/// are told to come later when it takes too long.
const HASHED_MAX: usize = 2;
const HASH_WAIT: Duration = Duration::from_secs(5);

pub(crate) struct Secrets {
    turns: Arc<Semaphore>,
    /// What a password is compared with where there is no such person: that takes as long.
    decoy: String,
}

/// So many random bytes of the system's, in hexadecimal digits.
pub(crate) fn random(bytes: usize) -> Result<String> {
    let mut random = vec![0; bytes];
    getrandom::fill(&mut random)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Whether that is what [`random`] makes.
pub(crate) fn is_random(text: &str, bytes: usize) -> bool {
    text.len() == 2 * bytes && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// With the least cost there is. The costs of argon2 keep passwords from being guessed; a key of 256
/// random bits cannot be, and it is checked with each request.
pub(crate) fn hash_key(key: &str) -> Result<String> {
    let least = Params::new(Params::MIN_M_COST, Params::MIN_T_COST, Params::MIN_P_COST, None)?;
    hash(&Argon2::new(Algorithm::Argon2id, Version::V0x13, least), key)
}

fn hash(argon2: &Argon2<'_>, secret: &str) -> Result<String> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt)?;
    let salt = SaltString::encode_b64(&salt)?;
    Ok(argon2.hash_password(secret.as_bytes(), &salt)?.to_string())
}

/// Whether a secret is the one that was hashed, at the cost that the hash tells; in constant time.
pub(crate) fn is_same(secret: &str, hash: &str) -> Result<bool> {
    match Argon2::default().verify_password(secret.as_bytes(), &PasswordHash::new(hash)?) {
        Ok(()) => Ok(true),
        Err(Error::Password) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

impl Secrets {
    pub(crate) fn new() -> Result<Self> {
        let decoy = hash(&Argon2::default(), &random(16)?)?;
        Ok(Self { turns: Arc::new(Semaphore::new(HASHED_MAX)), decoy })
    }

    pub(crate) async fn hash_password(&self, password: String) -> Result<String> {
        self.run(move || hash(&Argon2::default(), &password)).await
    }

    pub(crate) async fn is_password(&self, password: String, hash: Option<String>) -> Result<bool> {
        let exists = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.decoy.clone());
        Ok(self.run(move || is_same(&password, &hash)).await? && exists)
    }

    /// Runs what takes a core for long, when it is its turn.
    async fn run<R, F>(&self, work: F) -> Result<R>
    where
        R: Send + 'static,
        F: FnOnce() -> Result<R> + Send + 'static,
    {
        let turn = tokio::time::timeout(HASH_WAIT, Arc::clone(&self.turns).acquire_owned()).await;
        let turn = turn.map_err(|_| EventError::new("busy", "Too many at once. Try again."))??;
        // It goes on when nobody waits for it any more, and so does its turn.
        let working = tokio::task::spawn_blocking(move || (work(), turn));
        working.await?.0
    }
}

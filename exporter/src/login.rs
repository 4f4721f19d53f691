//! Passwords and tokens.
//!
//! A bcrypt hash takes a tenth of a second on purpose. So hashes are computed beside the sockets, one at a time, and what
//! was right once is remembered, as a keyed digest that is worth nothing elsewhere. Somebody unknown costs the same time
//! as a wrong password.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bcrypt::HashParts;
use ring::hmac;
use ring::rand::SystemRandom;

use crate::config::{ConfigError, Secret};

/// The least that a token must have, so that nobody guesses it.
const TOKEN_BYTES_MIN: usize = 16;

/// Who may log in.
#[derive(Debug)]
pub(crate) struct Logins {
    key: hmac::Key,
    users: HashMap<String, Arc<User>>,
    /// In place of whoever is not known, with a hash that no password has.
    nobody: Arc<User>,
    tokens: Vec<hmac::Tag>,
    /// Held while a hash is computed.
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug)]
struct User {
    hash: String,
    /// The password that was right.
    known: Mutex<Option<hmac::Tag>>,
}

impl Logins {
    /// Users with the hashes of their passwords, and the tokens that stand in `token_files`.
    ///
    /// # Errors
    /// When a hash or a file makes no sense.
    pub(crate) fn new(
        users: &BTreeMap<String, Secret>,
        token_files: &[impl AsRef<Path>],
    ) -> Result<Logins, ConfigError> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| ConfigError::new("the system gives no random numbers"))?;
        let mut cost_max = 4;
        let mut known = HashMap::new();
        for (name, hash) in users {
            let parts: HashParts = hash.reveal().parse().map_err(|error| {
                let what = format!("basic_auth_users: the hash of `{name}` is not bcrypt: {error}");
                ConfigError::new(what)
            })?;
            cost_max = cost_max.max(parts.get_cost());
            known.insert(name.clone(), User::new(hash.reveal().to_owned()));
        }
        let mut tokens = Vec::new();
        for file in token_files {
            for token in read_tokens(file.as_ref())? {
                tokens.push(hmac::sign(&key, token.as_bytes()));
            }
        }
        Ok(Logins {
            key,
            users: known,
            nobody: User::new(format!("$2b${cost_max:02}${}", ".".repeat(53))),
            tokens,
            turn: Arc::default(),
        })
    }

    /// Whether nobody needs to log in.
    pub(crate) fn are_needless(&self) -> bool {
        self.users.is_empty() && self.tokens.is_empty()
    }

    /// What to answer to those who did not log in.
    pub(crate) fn challenge(&self) -> &'static str {
        match (self.users.is_empty(), self.tokens.is_empty()) {
            (false, true) => "Basic realm=\"tachograph\"",
            (true, false) => "Bearer realm=\"tachograph\"",
            _ => "Basic realm=\"tachograph\", Bearer realm=\"tachograph\"",
        }
    }

    /// Whether this `Authorization` is of somebody who may log in.
    pub(crate) async fn admit(&self, authorization: &str) -> bool {
        let Some((scheme, credentials)) = authorization.split_once(' ') else {
            return false;
        };
        let credentials = credentials.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return self.has_token(credentials);
        }
        let decoded = BASE64_STANDARD.decode(credentials).ok();
        let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
        match decoded.as_deref().and_then(|text| text.split_once(':')) {
            Some((name, password)) if scheme.eq_ignore_ascii_case("basic") => {
                self.has_password(name, password).await
            }
            _ => false,
        }
    }

    /// Compares with every token, however early one fits.
    fn has_token(&self, token: &str) -> bool {
        let fits =
            |tag: &hmac::Tag| hmac::verify(&self.key, token.as_bytes(), tag.as_ref()).is_ok();
        self.tokens
            .iter()
            .fold(false, |found, tag| found | fits(tag))
    }

    async fn has_password(&self, name: &str, password: &str) -> bool {
        let user = self.users.get(name);
        let is_known = || user.is_some_and(|user| user.is_known(&self.key, password));
        if is_known() {
            return true;
        }
        if self.users.is_empty() {
            return false;
        }
        let turn = Arc::clone(&self.turn).lock_owned().await;
        // Another request may have brought the same meanwhile.
        if is_known() {
            return true;
        }
        let (key, given) = (self.key.clone(), password.to_owned());
        let is_somebody = user.is_some();
        let user = user.map_or_else(|| Arc::clone(&self.nobody), Arc::clone);
        // Who asks may give up; the turn and what comes of it do not.
        let verify = move || {
            let is_right = bcrypt::verify(&given, &user.hash).unwrap_or(false);
            if is_right {
                user.remember(hmac::sign(&key, given.as_bytes()));
            }
            drop(turn);
            is_right
        };
        matches!(tokio::task::spawn_blocking(verify).await, Ok(true)) && is_somebody
    }
}

impl User {
    fn new(hash: String) -> Arc<User> {
        let known = Mutex::default();
        Arc::new(User { hash, known })
    }

    fn is_known(&self, key: &hmac::Key, password: &str) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |tag: &hmac::Tag| hmac::verify(key, password.as_bytes(), tag.as_ref()).is_ok();
        known.as_ref().is_some_and(fits)
    }

    fn remember(&self, tag: hmac::Tag) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(tag);
    }
}

fn read_tokens(file: &Path) -> Result<Vec<String>, ConfigError> {
    let text = fs::read_to_string(file).map_err(|error| ConfigError::unreadable(file, &error))?;
    let mut tokens = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let token = line.trim();
        if token.is_empty() || token.starts_with('#') {
            continue;
        }
        if token.len() < TOKEN_BYTES_MIN {
            let what = format!("a token of less than {TOKEN_BYTES_MIN} characters can be guessed");
            return Err(ConfigError::new(what).at((number + 1, 1)).in_file(file));
        }
        tokens.push(token.to_owned());
    }
    if tokens.is_empty() {
        return Err(ConfigError::new("no token stands in it").in_file(file));
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn secret(text: &str) -> Secret {
        #[derive(serde::Deserialize)]
        struct Holder {
            secret: Secret,
        }
        let holder: Holder = toml::from_str(&format!("secret = '{text}'")).unwrap();
        holder.secret
    }

    fn basic(name: &str, password: &str) -> String {
        let encoded = BASE64_STANDARD.encode(format!("{name}:{password}"));
        format!("Basic {encoded}")
    }

    #[tokio::test]
    async fn passwords_and_tokens() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens");
        fs::write(&file, "# ours\n0123456789abcdef\n\nfedcba9876543210\n").unwrap();
        let hash = bcrypt::hash("right:word", 4).unwrap();
        let users = BTreeMap::from([("alice".to_owned(), secret(&hash))]);
        let logins = Logins::new(&users, &[&file]).unwrap();
        assert!(!logins.are_needless());
        for (given, admitted) in [
            (basic("alice", "right:word").as_str(), true),
            (&basic("alice", "right:word"), true),
            (&basic("alice", "wrong"), false),
            (&basic("bob", "right:word"), false),
            (&basic("alice", ""), false),
            ("Bearer 0123456789abcdef", true),
            ("bearer fedcba9876543210", true),
            ("Bearer 0123456789abcde", false),
            ("Bearer ", false),
            ("Bearer", false),
            ("Basic !", false),
            ("Digest 0123456789abcdef", false),
            ("", false),
        ] {
            assert_eq!(logins.admit(given).await, admitted, "{given:?}");
        }
        let known = logins.users["alice"].known.lock().unwrap();
        assert!(known.is_some());
    }

    #[tokio::test]
    async fn who_gives_up_is_known_when_he_comes_again() {
        let hash = bcrypt::hash("right", 8).unwrap();
        let users = BTreeMap::from([("alice".to_owned(), secret(&hash))]);
        let logins = Logins::new(&users, &[] as &[&Path]).unwrap();
        {
            let credentials = basic("alice", "right");
            let mut asked = pin!(logins.admit(&credentials));
            assert!(poll_once(asked.as_mut()).is_none());
        }
        // It is the turn of the next when the one that gave up is done.
        drop(logins.turn.lock().await);
        assert!(logins.users["alice"].known.lock().unwrap().is_some());
    }

    /// Polls once.
    fn poll_once<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
        let mut context = Context::from_waker(Waker::noop());
        match future.poll(&mut context) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    #[test]
    fn nobody_is_verified_like_anybody() {
        let hash = bcrypt::hash("x", 5).unwrap();
        let users = BTreeMap::from([("alice".to_owned(), secret(&hash))]);
        let logins = Logins::new(&users, &[] as &[&Path]).unwrap();
        assert!(!bcrypt::verify("x", &logins.nobody.hash).unwrap());
        let parts: HashParts = logins.nobody.hash.parse().unwrap();
        assert_eq!(parts.get_cost(), 5);
    }

    #[test]
    fn what_protects_nothing_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens");
        for (text, expected) in [
            ("", "no token stands in it"),
            ("# nothing\n", "no token stands in it"),
            ("\nshort\n", "2:1: a token of less than 16"),
        ] {
            fs::write(&file, text).unwrap();
            let fault = Logins::new(&BTreeMap::new(), &[&file])
                .unwrap_err()
                .to_string();
            assert!(fault.contains(expected), "{fault}");
        }
        let users = BTreeMap::from([("alice".to_owned(), secret("plain"))]);
        let fault = Logins::new(&users, &[] as &[&Path])
            .unwrap_err()
            .to_string();
        assert!(fault.contains("`alice` is not bcrypt"), "{fault}");
    }
}

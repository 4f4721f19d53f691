//! What stands between a connection and the pages, and how it is exchanged while it serves.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::header;
use hyper::{Method, Request, StatusCode};
use tokio::sync::Notify;

use crate::config::{Config, ConfigError};
use crate::live::Live;
use crate::log;
use crate::routes::{Answer, PLAIN, answer, with};
use crate::status::Status;
use crate::systemd::Manager;
use crate::watched::Watched;

/// So many different complaints about clients go to the log.
const COMPLAINTS_MAX: usize = 64;

/// Gives the configuration of now.
pub(crate) type Load = Box<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>;

/// Answers by the configuration of now, and takes another when it is told.
pub struct Front {
    load: Load,
    live: Mutex<Arc<Live>>,
    watched: Mutex<Watched>,
    pub(crate) status: Arc<Status>,
    pub(crate) manager: Manager,
    complaints: Mutex<HashSet<String>>,
    /// Told when another configuration answers.
    pub(crate) exchanged: Notify,
    /// Held while the configuration is exchanged.
    turn: Mutex<()>,
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front")
            .field("live", &self.live())
            .finish_non_exhaustive()
    }
}

impl Front {
    pub(crate) fn new(load: Load) -> Result<Front, ConfigError> {
        let status = Arc::new(Status::default());
        let config = load()?;
        let watched = Watched::now(&config);
        let live = Live::new(config, None, &status)?;
        Ok(Front {
            load,
            live: Mutex::new(Arc::new(live)),
            watched: Mutex::new(watched),
            status,
            manager: Manager::from_environment(),
            complaints: Mutex::default(),
            exchanged: Notify::new(),
            turn: Mutex::default(),
        })
    }

    /// Whether a server could begin with `config`.
    ///
    /// # Errors
    /// What is wrong with it, or with a file that it names.
    pub fn check(config: Config) -> Result<(), ConfigError> {
        Live::new(config, None, &Arc::default()).map(drop)
    }

    /// What answers now.
    pub(crate) fn live(&self) -> Arc<Live> {
        Arc::clone(&lock(&self.live))
    }

    /// What answers a new connection: certificates, passwords and tokens are read anew when their files have changed.
    pub(crate) fn fresh(&self) -> Arc<Live> {
        if lock(&self.watched).have_changed() {
            let _turn = lock(&self.turn);
            let mut config = self.live().config.clone();
            // Whatever comes of it, it is not tried again before the next change.
            *lock(&self.watched) = Watched::now(&config);
            let exchanged = config.read_web().and_then(|()| self.exchange(config));
            self.tell(
                "files of certificates, passwords or tokens were read anew",
                exchanged.as_ref(),
            );
        }
        self.live()
    }

    /// Reads the configuration anew. What is wrong with it leaves the old one in use.
    ///
    /// # Errors
    /// What is wrong; the log and the metrics say it, too.
    pub async fn reload(self: &Arc<Self>) -> Result<(), ConfigError> {
        let front = Arc::clone(self);
        let reload = move || {
            let _turn = lock(&front.turn);
            front.manager.reloading();
            let reloaded = (front.load)().and_then(|config| front.exchange(config));
            let status = front.tell("the configuration was read anew", reloaded.as_ref());
            front.manager.ready(&status);
            reloaded
        };
        let reloaded = tokio::task::spawn_blocking(reload).await;
        reloaded.unwrap_or_else(|error| Err(ConfigError::new(error.to_string())))
    }

    fn exchange(&self, config: Config) -> Result<(), ConfigError> {
        let old = self.live();
        if config.listen != old.config.listen {
            let what = "`listen` cannot change while the exporter runs; restart it";
            return Err(ConfigError::new(what));
        }
        // Looked at before they are read: what changes meanwhile is read once more.
        *lock(&self.watched) = Watched::now(&config);
        let live = Live::new(config, Some(&old), &self.status)?;
        *lock(&self.live) = Arc::new(live);
        self.exchanged.notify_one();
        Ok(())
    }

    fn tell(&self, what: &str, outcome: Result<&(), &ConfigError>) -> String {
        self.status.config_read(outcome.is_ok());
        let text = match outcome {
            Ok(()) => what.to_owned(),
            Err(fault) => {
                format!("the old configuration stays in use, as the new one is wrong: {fault}")
            }
        };
        log(&text);
        text
    }

    /// Tells the operator once what was wrong with a client.
    pub(crate) fn complain(&self, what: String) {
        let mut told = lock(&self.complaints);
        if told.len() < COMPLAINTS_MAX && !told.contains(&what) {
            log(&format!("{what}; this is not said again"));
            told.insert(what);
        }
    }

    pub(crate) async fn answer<B>(
        self: &Arc<Self>,
        request: &Request<B>,
        on_loopback: bool,
    ) -> Answer {
        let live = self.live();
        let mut answer = if let Some(answer) = live.preflight(request) {
            answer
        } else if let Some((reason, refusal)) = live.refusal(request, on_loopback).await {
            self.status.refuse(reason);
            refusal
        } else {
            self.route(&live, request).await
        };
        live.dress(request.headers(), answer.headers_mut());
        answer
    }

    async fn route<B>(self: &Arc<Self>, live: &Live, request: &Request<B>) -> Answer {
        if request.uri().path() != "/-/reload" {
            return live.routes.answer(request).await;
        }
        if *request.method() != Method::POST {
            let refusal = answer(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only POST\n");
            return with(refusal, header::ALLOW, "POST");
        }
        match self.reload().await {
            Ok(()) => answer(StatusCode::OK, PLAIN, "reloaded\n"),
            Err(fault) => {
                let text = format!("the old configuration stays in use: {fault}\n");
                answer(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, text)
            }
        }
    }
}

/// A panic leaves nothing half done here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// SPDX-License-Identifier: MIT
//! Sends one message to one receiver: within a time, several times if need be, and never further
//! than to the address that somebody wrote down: no redirect is followed. Errors never hold a URL,
//! a token, or what a receiver answered beside its status.

use super::dress;
use super::message::Message;
use super::rules::{Address, Preset, Webhook};
use super::target::{Target, Way};
use crate::backend::http::{Http, Request, Route};
use crate::backend::{Access, Variables};
use crate::base::monitor::Collect;
use crate::base::units::Span;
use crate::base::{Counter, Error, Kind, Monitor, Result, World, notify_limits};
use crate::hestia::call::{self, Call};
use crate::hestia::jobs::Server;
use crate::hestia::named::SecretPlace;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// Finds a secret; the text says what for, completing "cannot ...".
pub type Secrets<'s> = dyn Fn(&str, &SecretPlace) -> Result<Zeroizing<String>> + Sync + 's;

/// Sends messages.
pub struct Sender<'s> {
    /// The machine.
    pub server: &'s Server,
    /// Finds secrets.
    pub secrets: &'s Secrets<'s>,
    /// Until when all must be done, as the world's ticks count.
    pub until: Duration,
    /// Says whether to stop.
    pub monitor: &'s dyn Monitor,
}

/// What is posted.
struct Post {
    url: Url,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Sender<'_> {
    /// Sends a message to a receiver.
    pub fn send(&self, target: &Target, message: &Message) -> Result<()> {
        let what = format!("send to {}", target.name);
        match &target.way {
            Way::Panel(user) => {
                let (topic, paragraphs) = dress::panel(message);
                self.call(&what, call::bell(&self.server.hestia, user, &topic, &paragraphs))
            }
            Way::Mail(address) => {
                let (subject, body) = dress::mail(message);
                self.call(&what, call::mail(&self.server.hestia, address, &subject, &body))
            }
            Way::Webhook(hook) => self.post_message(&what, hook, message),
        }
    }

    fn call(&self, what: &str, mut call: Call) -> Result<()> {
        call.limit = self.left(what)?.min(notify_limits::CALL_WAIT);
        let outcome = self.server.caller.call(&call, self.monitor);
        let outcome = outcome.map_err(|error| error.within(what))?;
        if !outcome.is_ok() {
            // Whatever Hestia's code, it could not be handed over: that is no bug of ours.
            let why = format!("{} failed: {}", call.name(), outcome.complaint());
            return Err(Error::new(Kind::Connect, what).why(why));
        }
        Ok(())
    }

    fn post_message(&self, what: &str, hook: &Webhook, message: &Message) -> Result<()> {
        let url = self.url(what, &hook.address)?;
        let (url, body) = match hook.preset {
            Preset::Json => (url, dress::own(message)),
            Preset::Slack => (url, dress::slack(message)),
            Preset::Discord => (url, dress::discord(message)),
            Preset::Telegram => {
                (url, dress::telegram(message, hook.chat_id.as_deref().unwrap_or_default()))
            }
            Preset::Ntfy => dress::ntfy(message, &url).map_err(|error| error.within(what))?,
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(token) = &hook.token {
            let token = first_line(&(self.secrets)(what, token)?);
            let header = HeaderValue::from_str(&format!("Bearer {}", token.as_str()));
            let mut header = header.map_err(|_| {
                Error::new(Kind::Invalid, what).why("its token has letters that no token has")
            })?;
            header.set_sensitive(true);
            headers.insert(AUTHORIZATION, header);
        }
        let post = Post { url, headers, body: body.to_string().into_bytes() };
        self.post(what, &hook.address, &post)
    }

    /// Asks a URL, with a word as a further part of its path and a text as the body.
    pub fn ping(&self, name: &str, address: &Address, word: &str, text: &str) -> Result<()> {
        let what = format!("ping {name}");
        let mut url = self.url(&what, address)?;
        if !word.is_empty() {
            let path = format!("{}/{word}", url.path().trim_end_matches('/'));
            url.set_path(&path);
        }
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        self.post(&what, address, &Post { url, headers, body: text.as_bytes().to_vec() })
    }

    fn url(&self, what: &str, address: &Address) -> Result<Url> {
        let text = first_line(&(self.secrets)(what, &address.url)?);
        let wrong = |why: String| Error::new(Kind::Invalid, what).why(why);
        let url = Url::parse(&text).map_err(|error| wrong(format!("its URL is none: {error}")))?;
        match url.scheme() {
            "https" => Ok(url),
            "http" if address.allow_http => Ok(url),
            "http" => {
                Err(wrong("its URL begins with http:, so that others can read it".to_owned())
                    .hint("use https:, or allow_http = true if the way there is safe"))
            }
            _ => Err(wrong("its URL begins with neither https: nor http:".to_owned())),
        }
    }

    fn left(&self, what: &str) -> Result<Duration> {
        let left = self.until.saturating_sub(self.server.world.ticks());
        if left.is_zero() || self.monitor.cancelled() {
            return Err(Error::new(Kind::Load, what).why("there was no time left"));
        }
        Ok(left)
    }

    fn post(&self, what: &str, address: &Address, post: &Post) -> Result<()> {
        let world = &self.server.world;
        let patience = self.server.settings.notifications.patience;
        let http = client(address, world, patience).map_err(|error| error.within(what))?;
        let mut pause = notify_limits::PAUSE;
        for tried in 1.. {
            let wait = self.left(what)?.min(patience);
            match post_once(&http, what, post, wait) {
                Err(error) if error.is_transient() && tried < notify_limits::TRIES => {}
                Err(error) => return Err(told(error)),
                Ok(()) => return Ok(()),
            }
            world.sleep(pause.min(self.left(what)?));
            pause *= 3;
        }
        Ok(())
    }
}

/// The first line of a secret, without the spaces around it.
fn first_line(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.lines().next().unwrap_or_default().trim().to_owned())
}

fn client(address: &Address, world: &Arc<World>, patience: Duration) -> Result<Http> {
    let seconds = patience.as_secs().to_string();
    let access = Access {
        variables: Variables::new(move |name| {
            (name == "GHOSTSNAP_SILENCE_SECONDS").then(|| seconds.clone())
        }),
        // These requests are none of a store's.
        monitor: Arc::new(Collect::default()),
        world: Arc::clone(world),
    };
    Http::new(&access, Route::Outside(address.ca_file.as_deref()))
}

fn post_once(http: &Http, what: &str, post: &Post, wait: Duration) -> Result<()> {
    let request = Request {
        what,
        counter: Counter::RequestsPut,
        method: Method::POST,
        url: post.url.clone(),
        headers: post.headers.clone(),
        body: &[&post.body],
        is_content: false,
        answer_max: notify_limits::ANSWER_BYTES_MAX,
        answer_wait: Duration::ZERO,
    };
    let asked = http.run(async { tokio::time::timeout(wait, http.send(request)).await });
    let answer = asked.unwrap_or_else(|_| {
        Err(Error::new(Kind::Connect, what)
            .why(format!("there was no answer for {}", Span(wait)))
            .transient())
    })?;
    judge(what, answer.status)
}

/// What an answer means.
fn judge(what: &str, status: u16) -> Result<()> {
    let answered = |why: &str| Err(Error::new(Kind::Connect, what).why(why.to_owned()));
    match status {
        200..=299 => Ok(()),
        300..=399 => answered(&format!(
            "it answers {status}, a redirect, and those are not followed: use the address it leads to"
        )),
        408 | 425 | 429 | 500..=599 => {
            answered(&format!("it answers {status}")).map_err(Error::transient)
        }
        _ => answered(&format!("it answers {status}")),
    }
}

/// The HTTP client of the house speaks of stores.
fn told(error: Error) -> Error {
    error.reworded(|text| {
        text.replace("the store", "the receiver").replace("at the receiver", "there")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for (status, is_ok, may_pass) in [
            (200, true, false),
            (204, true, false),
            (302, false, false),
            (308, false, false),
            (400, false, false),
            (404, false, false),
            (429, false, true),
            (500, false, true),
            (503, false, true),
        ] {
            let result = judge("x", status);
            assert_eq!(result.is_ok(), is_ok, "{status}");
            assert_eq!(result.is_err_and(|error| error.is_transient()), may_pass, "{status}");
        }
    }
}

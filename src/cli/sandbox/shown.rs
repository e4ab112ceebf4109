//! The tokens of the sandbox, as its user sees them change.

use std::{collections::BTreeMap, io::IsTerminal};

use futures::{StreamExt, stream::BoxStream};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Api, Client, ResourceExt,
    runtime::{WatchStreamExt, watcher},
};

use crate::{
    api::{
        ApiToken,
        condition::{self, READY, Reason},
    },
    cli::output::{print, print_line},
};

/// Namespace and name of an ApiToken.
pub(super) type Name = (String, String);

/// The tokens as they were last shown to the user.
pub(super) struct Shown {
    events: BoxStream<'static, watcher::Result<watcher::Event<ApiToken>>>,
    pub(super) tokens: BTreeMap<Name, ApiToken>,
}

impl Shown {
    pub(super) fn new(client: Client) -> Self {
        let events = watcher(Api::all(client), watcher::Config::default()).default_backoff();
        Self {
            events: events.boxed(),
            tokens: BTreeMap::new(),
        }
    }

    /// Takes in changes until `is_there` holds for every one of these tokens, with a line of progress on a terminal.
    pub(super) async fn until(&mut self, wanted: &[Name], is_there: fn(&ApiToken) -> bool) -> Result<(), String> {
        let terminal = std::io::stdout().is_terminal();
        loop {
            let there = wanted
                .iter()
                .filter(|name| self.tokens.get(*name).is_some_and(is_there))
                .count();
            if terminal {
                print(format_args!("\rtokens: {there} of {}", wanted.len()))?;
            }
            if there == wanted.len() || self.next().await.is_none() {
                break;
            }
        }
        if terminal { print_line("") } else { Ok(()) }
    }

    /// Prints a line for every change, for ever.
    pub(super) async fn follow(&mut self) -> Result<(), String> {
        while let Some((before, now)) = self.next().await {
            if let Some((name, line)) = change(before.as_ref(), now.as_ref()) {
                let time = jiff::Zoned::now();
                print_line(format_args!("{}  {name:24} {line}", time.strftime("%H:%M:%S")))?;
            }
        }
        Ok(())
    }

    /// Why these tokens are not Ready.
    pub(super) fn reasons(&self, wanted: &[Name]) -> Vec<String> {
        let late = |name: &&Name| !self.tokens.get(*name).is_some_and(is_ready);
        wanted
            .iter()
            .filter(late)
            .map(|name| {
                let why = self.tokens.get(name).map(state).unwrap_or_default();
                format!("apitoken {}/{}: {why}", name.0, name.1)
            })
            .collect()
    }

    /// The next change, before and after. None: the watch has ended.
    async fn next(&mut self) -> Option<(Option<ApiToken>, Option<ApiToken>)> {
        loop {
            match self.events.next().await? {
                Ok(watcher::Event::Apply(token) | watcher::Event::InitApply(token)) => {
                    let before = self.tokens.insert(name(&token), token.clone());
                    return Some((before, Some(token)));
                }
                Ok(watcher::Event::Delete(token)) => {
                    self.tokens.remove(&name(&token));
                    return Some((Some(token), None));
                }
                Ok(watcher::Event::Init | watcher::Event::InitDone) | Err(_) => {}
            }
        }
    }
}

pub(super) fn name(token: &ApiToken) -> Name {
    (token.namespace().unwrap_or_default(), token.name_any())
}

pub(super) fn is_ready(token: &ApiToken) -> bool {
    ready(token).is_some_and(|ready| ready.status == "True")
}

/// Ready, or not to become so by itself soon.
pub(super) fn is_settled(token: &ApiToken) -> bool {
    ready(token).is_some_and(|ready| ready.status == "True" || ready.reason != Reason::NotIssued.as_str())
}

fn ready(token: &ApiToken) -> Option<&Condition> {
    condition::find(&token.status.as_ref()?.conditions, READY)
}

/// `Issued: The token is in Secret …`
fn state(token: &ApiToken) -> String {
    ready(token).map_or_else(
        || "no status yet".to_owned(),
        |ready| format!("{}: {}", ready.reason, ready.message),
    )
}

/// The name of a token and what became of it, if that is news.
fn change(before: Option<&ApiToken>, now: Option<&ApiToken>) -> Option<(String, String)> {
    let label = |token: &ApiToken| format!("{}/{}", token.namespace().unwrap_or_default(), token.name_any());
    match (before, now) {
        (Some(before), None) => Some((label(before), "deleted".to_owned())),
        (before, Some(now)) => {
            let line = state(now);
            (ready(now).is_some() && before.map(state).as_ref() != Some(&line)).then(|| (label(now), line))
        }
        (None, None) => None,
    }
}

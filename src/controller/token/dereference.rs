//! Looking at a token's Secret, with a request only where the watch does not tell enough.

use k8s_openapi::api::core::v1::Secret;
use kube::Api;

use super::super::{
    Context, Error,
    key::Key,
    secrets::{self, Seen, Verified},
};
use crate::{
    api::{ApiToken, CredentialState},
    domain::{
        lifecycle::SecretFact,
        secret::{Contract, inspect},
    },
};

/// The namespace and name of a token's Secret.
pub(super) fn key(token: &ApiToken) -> Key<Secret> {
    Key::namespaced(
        token.metadata.namespace.as_deref().unwrap_or_default(),
        &token.secret_name(),
    )
}

/// What is under the name of the token's Secret.
pub(super) async fn secret(token: &ApiToken, ctx: &Context) -> Result<SecretFact, Error> {
    let key = key(token);
    match known(token, ctx, &key) {
        Some(fact) => Ok(fact),
        None => read(token, ctx, &key).await,
    }
}

/// What can be said without a request. None: it must be read.
fn known(token: &ApiToken, ctx: &Context, key: &Key<Secret>) -> Option<SecretFact> {
    let memory = ctx.memory();
    let seen = memory.secrets.seen(key);
    match (seen, memory.secrets.verified(key)) {
        (Some(seen), Some(verified)) => in_order(token, seen, verified),
        (None, Some(Verified::Gone)) => Some(SecretFact::Absent),
        // Before the first Secret is written there is nothing to be found; if there is, creating it will tell.
        (None, None)
            if never_written(
                token,
                memory.minted.get(token.metadata.uid.as_ref()?).map(|(id, _)| *id),
            ) =>
        {
            Some(SecretFact::Absent)
        }
        _ => None,
    }
}

fn in_order(token: &ApiToken, seen: &Seen, verified: &Verified) -> Option<SecretFact> {
    let Verified::InOrder {
        version,
        credential,
        masked,
        contract,
    } = verified
    else {
        return None;
    };
    let held = token
        .status
        .as_ref()?
        .credentials
        .iter()
        .find(|known| known.id == *credential)?;
    let still = *version == seen.version
        && seen.controller.as_ref().map(|controller| &*controller.uid) == token.metadata.uid.as_deref()
        && held.state != CredentialState::Retired
        && Contract::new(token, held).fingerprint() == *contract;
    still.then(|| SecretFact::Owned {
        holds: Some(*credential),
        masked: Some(masked.to_string()),
        intact: true,
        claimed: seen.claimed,
        deleting: false,
    })
}

/// Whether no Secret can hold a credential of this token yet: the only one there may be is still in this memory.
fn never_written(token: &ApiToken, minted: Option<u64>) -> bool {
    token.status.as_ref().is_none_or(|status| {
        status.issued_at.is_none()
            && status
                .credentials
                .iter()
                .all(|credential| credential.state == CredentialState::Retired || Some(credential.id) == minted)
    })
}

async fn read(token: &ApiToken, ctx: &Context, key: &Key<Secret>) -> Result<SecretFact, Error> {
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), key.namespace().unwrap_or_default());
    match api.get_opt(key.name()).await.map_err(Error::api("read the Secret")) {
        Ok(found) => Ok(remember(token, ctx, key, found.as_ref())),
        Err(error) => match error.refusal() {
            // What time ends must end all the same.
            Some(why) => Ok(SecretFact::Unreadable { why }),
            None => Err(error),
        },
    }
}

/// Takes in a Secret that was read or written, and says what it is to the token.
pub(super) fn remember(token: &ApiToken, ctx: &Context, key: &Key<Secret>, found: Option<&Secret>) -> SecretFact {
    let fact = found.map_or(SecretFact::Absent, |found| inspect(token, found));
    let secrets = &mut ctx.memory().secrets;
    match (&fact, found) {
        (SecretFact::Absent, _) => secrets.verify(key, Verified::Gone),
        // One that is not ours is not watched, so nothing would tell that it went: it is read every time.
        (SecretFact::Foreign { .. } | SecretFact::Unreadable { .. }, _) | (_, None) => secrets.doubt(key),
        (
            SecretFact::Owned {
                holds,
                masked,
                intact,
                deleting,
                ..
            },
            Some(found),
        ) => {
            let seen = secrets::from_metadata(&found.metadata);
            let held = token
                .status
                .iter()
                .flat_map(|status| &status.credentials)
                .find(|known| Some(known.id) == *holds);
            match (seen, held) {
                (Some((key, seen)), Some(held)) if *intact && !*deleting => {
                    let contract = Contract::new(token, held).fingerprint();
                    let verified = Verified::InOrder {
                        version: seen.version.clone(),
                        credential: held.id,
                        masked: masked.as_deref().unwrap_or_default().into(),
                        contract,
                    };
                    secrets.observe(&key, seen);
                    secrets.verify(&key, verified);
                }
                (Some((key, seen)), _) => {
                    secrets.observe(&key, seen);
                    secrets.doubt(&key);
                }
                (None, _) => secrets.doubt(key),
            }
        }
    }
    fact
}

//! Doing what a plan says, under the preconditions that make it safe.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, PostParams, Preconditions},
};

use super::{
    super::{
        Context, Error,
        error::{describe, status as answer},
    },
    dereference, workload,
};
use crate::{
    api::{ApiToken, Credential},
    domain::{
        credential::Token,
        lifecycle::{self, Effect, Plan},
        secret::{Contract, held, is_controlled_by},
    },
};

const STATUS_MANAGER: &str = "tokenwright-status";
const SECRET_MANAGER: &str = "tokenwright-secret";

/// Writes the plan's status, with the credential it asks for, if it differs from what is there. Returns whether it did.
///
/// The whole object is sent with the resourceVersion it was planned from: a plan made from an old view is refused.
pub(super) async fn status(token: &mut ApiToken, plan: &Plan, ctx: &Context, now: Timestamp) -> Result<bool, Error> {
    let uid = token.uid().unwrap_or_default();
    let (status, minted) = match &plan.effect {
        Effect::Mint(wanted) => {
            let (status, plain) = lifecycle::mint(token, wanted, &plan.status, &mut **ctx.entropy(), now);
            (status, Some((wanted.id, plain)))
        }
        _ => (plan.status.clone(), None),
    };
    if token.status.as_ref() == Some(&status) {
        return Ok(false);
    }
    let api: Api<ApiToken> = Api::namespaced(ctx.client.clone(), &token.namespace().unwrap_or_default());
    let mut wanted = token.clone();
    wanted.status = Some(status.clone());
    let params = PostParams {
        field_manager: Some(STATUS_MANAGER.to_owned()),
        ..PostParams::default()
    };
    let written = api
        .replace_status(&token.name_any(), &params, &wanted)
        .await
        .map_err(Error::api("write the status"))?;
    token.metadata.resource_version = written.metadata.resource_version;
    // What was sent and not what came back: an older schema in the cluster may have left something out, and a status
    // that never is as it should be would be written without end.
    token.status = Some(status);
    let mut memory = ctx.memory();
    if let Some(version) = &token.metadata.resource_version {
        memory.written.insert(uid.clone(), version.clone());
    }
    if let Some(minted) = minted {
        ctx.metrics.minted.inc();
        memory.minted.insert(uid, minted);
    }
    Ok(true)
}

/// Makes the plan's one write besides the status.
pub(super) async fn effect(token: &ApiToken, plan: &Plan, ctx: &Context) -> Result<(), Error> {
    match &plan.effect {
        // The credential was made with the status.
        Effect::Nothing | Effect::Mint(_) => Ok(()),
        Effect::WriteSecret { id } => {
            let uid = token.uid().unwrap_or_default();
            let minted = ctx
                .memory()
                .minted
                .get(&uid)
                .filter(|(minted, _)| minted == id)
                .cloned();
            let (Some((_, plain)), Some(credential)) = (minted, credential(token, *id)) else {
                return Ok(());
            };
            note_refusal(token, ctx, write_secret(token, ctx, credential, Some(&plain)).await)?;
            ctx.memory().minted.remove(&uid);
            Ok(())
        }
        Effect::RepairSecret { id } => {
            let Some(credential) = credential(token, *id) else {
                return Ok(());
            };
            note_refusal(token, ctx, write_secret(token, ctx, credential, None).await)
        }
        Effect::DeleteSecret => note_refusal(token, ctx, delete_secret(token, ctx).await),
        Effect::DeleteToken => delete_token(token, ctx).await,
        Effect::Restart(workloads) => workload::restart(token, workloads, ctx).await,
    }
}

fn credential(token: &ApiToken, id: u64) -> Option<&Credential> {
    token
        .status
        .as_ref()?
        .credentials
        .iter()
        .find(|credential| credential.id == id)
}

/// Remembers why the Secret could not be written, for the token's conditions; or that it could.
fn note_refusal(token: &ApiToken, ctx: &Context, result: Result<(), Error>) -> Result<(), Error> {
    let uid = token.uid().unwrap_or_default();
    let mut memory = ctx.memory();
    match &result {
        Ok(()) => drop(memory.denied.remove(&uid)),
        Err(Error::Api { source, .. }) => {
            memory.secrets.doubt(&dereference::key(token));
            let refused = answer(source).is_some_and(|status| (400..500).contains(&status.code) && status.code != 429);
            // What passes by itself is not worth a condition until it does not.
            if refused && !answer(source).is_some_and(|status| status.is_already_exists())
                || memory.backoffs.failures(&uid) >= 2
            {
                memory.denied.insert(uid, describe(source));
            }
        }
        Err(_) => memory.secrets.doubt(&dereference::key(token)),
    }
    result
}

/// Creates the token's Secret, or replaces it under its resourceVersion. Without `plain` the token it holds is kept.
async fn write_secret(
    token: &ApiToken,
    ctx: &Context,
    credential: &Credential,
    plain: Option<&Token>,
) -> Result<(), Error> {
    let key = dereference::key(token);
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), &key.0);
    let contract = Contract::new(token, credential);
    let params = PostParams {
        field_manager: Some(SECRET_MANAGER.to_owned()),
        ..PostParams::default()
    };
    let known_absent = ctx.memory().secrets.seen(&key).is_none();
    let found = if known_absent && plain.is_some() {
        None
    } else {
        api.get_opt(&key.1).await.map_err(Error::api("read the Secret"))?
    };
    let written = match (found, plain) {
        (Some(found), _) if !is_controlled_by(&found.metadata, token) => {
            ctx.memory().secrets.doubt(&key);
            return Ok(());
        }
        (Some(found), plain) => {
            let kept = held(token, &found)
                .filter(|(known, _)| known.id == credential.id)
                .map(|(_, plain)| plain);
            let Some(plain) = plain.or(kept.as_ref()) else {
                ctx.memory().secrets.doubt(&key);
                return Ok(());
            };
            let wanted = contract.secret(plain, Some(&found));
            if found.immutable == Some(true) || found.type_ != wanted.type_ {
                // Neither can be changed in place.
                delete(&api, &found, &key.1).await?;
                create(&api, &params, contract.secret(plain, None)).await?
            } else {
                api.replace(&key.1, &params, &wanted)
                    .await
                    .map_err(Error::api("replace the Secret"))?
            }
        }
        (None, Some(plain)) => create(&api, &params, contract.secret(plain, None)).await?,
        (None, None) => {
            ctx.memory().secrets.doubt(&key);
            return Ok(());
        }
    };
    dereference::remember(token, ctx, &key, Some(&written));
    Ok(())
}

async fn create(api: &Api<Secret>, params: &PostParams, secret: Secret) -> Result<Secret, Error> {
    api.create(params, &secret)
        .await
        .map_err(Error::api("create the Secret"))
}

async fn delete(api: &Api<Secret>, found: &Secret, name: &str) -> Result<(), Error> {
    let exactly = Preconditions {
        uid: found.metadata.uid.clone(),
        resource_version: found.metadata.resource_version.clone(),
    };
    let params = DeleteParams {
        preconditions: Some(exactly),
        ..DeleteParams::background()
    };
    match api.delete(name, &params).await {
        Err(error) if !answer(&error).is_some_and(|status| status.is_not_found()) => {
            Err(Error::api("delete the Secret")(error))
        }
        _ => Ok(()),
    }
}

async fn delete_secret(token: &ApiToken, ctx: &Context) -> Result<(), Error> {
    let key = dereference::key(token);
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), &key.0);
    let found = api.get_opt(&key.1).await.map_err(Error::api("read the Secret"))?;
    if let Some(found) = found.filter(|found| is_controlled_by(&found.metadata, token)) {
        delete(&api, &found, &key.1).await?;
        if let Some(uid) = &found.metadata.uid {
            ctx.memory().secrets.gone(&key, uid);
        }
    }
    // Read again by the next plan: a finalizer of somebody else's may keep it.
    ctx.memory().secrets.doubt(&key);
    Ok(())
}

async fn delete_token(token: &ApiToken, ctx: &Context) -> Result<(), Error> {
    let api: Api<ApiToken> = Api::namespaced(ctx.client.clone(), &token.namespace().unwrap_or_default());
    let exactly = Preconditions {
        uid: token.metadata.uid.clone(),
        resource_version: token.metadata.resource_version.clone(),
    };
    let params = DeleteParams {
        preconditions: Some(exactly),
        ..DeleteParams::background()
    };
    match api.delete(&token.name_any(), &params).await {
        Err(error) if !answer(&error).is_some_and(|status| status.is_not_found()) => {
            Err(Error::api("delete the expired ApiToken")(error))
        }
        _ => Ok(()),
    }
}

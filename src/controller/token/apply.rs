//! Doing what a plan says, under the preconditions that make it safe.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt, api::PostParams};

use super::{
    super::{Context, Error, context::Memory, deletion::delete, status},
    dereference, workload,
};
use crate::{
    api::{ApiToken, ApiTokenStatus, Credential, CredentialState},
    domain::{
        credential::Token,
        lifecycle::{self, Effect, Plan, SecretFact},
        owner::is_controlled_by,
        secret::{Contract, held},
    },
};

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
    replace_status(token, status, ctx).await?;
    let mut memory = ctx.memory();
    forget_what_is_delivered(token, &mut memory);
    if let Some(minted) = minted {
        ctx.metrics.minted.inc();
        memory.minted.insert(uid, minted);
    }
    Ok(true)
}

/// Writes this status under the resourceVersion of the token as it is here, which becomes what was written.
pub(super) async fn replace_status(token: &mut ApiToken, status: ApiTokenStatus, ctx: &Context) -> Result<(), Error> {
    let api: Api<ApiToken> = Api::namespaced(ctx.client.clone(), &token.namespace().unwrap_or_default());
    let mut wanted = token.clone();
    wanted.status = Some(status.clone());
    let written = status::replace(&api, &wanted).await?;
    token.metadata.resource_version = written.metadata.resource_version;
    // What was sent and not what came back: an older schema in the cluster may have left something out, and a status
    // that never is as it should be would be written without end.
    token.status = Some(status);
    if let Some(version) = &token.metadata.resource_version {
        let uid = token.uid().unwrap_or_default();
        ctx.memory().written.insert(uid, version.clone());
    }
    Ok(())
}

/// A token's plain text is kept only until its Secret has it, or nothing wants it any more.
fn forget_what_is_delivered(token: &ApiToken, memory: &mut Memory) {
    let uid = token.uid().unwrap_or_default();
    let pending =
        |id: u64| credential(token, id).is_some_and(|credential| credential.state == CredentialState::Pending);
    if memory.minted.get(&uid).is_some_and(|(id, _)| !pending(*id)) {
        memory.minted.remove(&uid);
    }
}

/// Makes the plan's one write besides the status, and remembers why it could not, for the token's conditions.
pub(super) async fn effect(token: &ApiToken, plan: &Plan, ctx: &Context) -> Result<(), Error> {
    let result = carry_out(token, &plan.effect, ctx).await;
    let uid = token.uid().unwrap_or_default();
    let mut memory = ctx.memory();
    match &result {
        Ok(()) => drop(memory.denied.remove(&uid)),
        Err(Error::Conflict { .. }) => memory.secrets.doubt(&dereference::key(token)),
        Err(error) => {
            memory.secrets.doubt(&dereference::key(token));
            // What passes by itself is not worth a condition until it does not.
            let lasting = (memory.backoffs.failures(&uid) >= 2).then(|| error.trouble());
            if let Some(why) = error.refusal().or(lasting) {
                memory.denied.insert(uid, why);
            }
        }
    }
    result
}

async fn carry_out(token: &ApiToken, effect: &Effect, ctx: &Context) -> Result<(), Error> {
    match effect {
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
            write_secret(token, ctx, credential, Some(&plain)).await
        }
        Effect::RepairSecret { id } => match credential(token, *id) {
            Some(credential) => write_secret(token, ctx, credential, None).await,
            None => Ok(()),
        },
        Effect::DeleteSecret => delete_secret(token, ctx).await,
        Effect::DeleteToken => delete_token(token, ctx).await,
        Effect::Restart(workloads) => workload::restart(token, workloads, ctx).await,
    }
}

fn credential(token: &ApiToken, id: u64) -> Option<&Credential> {
    let mut credentials = token.status.iter().flat_map(|status| &status.credentials);
    credentials.find(|credential| credential.id == id)
}

/// Creates the token's Secret, or replaces it under its resourceVersion. Without `plain` the token it holds is kept.
async fn write_secret(
    token: &ApiToken,
    ctx: &Context,
    credential: &Credential,
    plain: Option<&Token>,
) -> Result<(), Error> {
    let key = dereference::key(token);
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), key.namespace().unwrap_or_default());
    let contract = Contract::new(token, credential);
    let known_absent = ctx.memory().secrets.seen(&key).is_none();
    let found = if known_absent && plain.is_some() {
        None
    } else {
        api.get_opt(key.name()).await.map_err(Error::api("read the Secret"))?
    };
    if found
        .as_ref()
        .is_some_and(|found| !is_controlled_by(&found.metadata, token.metadata.uid.as_deref()))
    {
        ctx.memory().secrets.doubt(&key);
        return Ok(());
    }
    let kept = found.as_ref().and_then(|found| held(token, found));
    let kept = kept
        .filter(|(known, _)| known.id == credential.id)
        .map(|(_, plain)| plain);
    let Some(plain) = plain.or(kept.as_ref()) else {
        ctx.memory().secrets.doubt(&key);
        return Ok(());
    };
    let written = put(&api, key.name(), &contract, plain, found.as_ref()).await;
    let written = written.map_err(|error| error.without(plain.expose()))?;
    match dereference::remember(token, ctx, &key, Some(&written)) {
        SecretFact::Owned { intact: true, .. } => Ok(()),
        _ => Err(Error::Altered),
    }
}

async fn put(
    api: &Api<Secret>,
    name: &str,
    contract: &Contract,
    plain: &Token,
    found: Option<&Secret>,
) -> Result<Secret, Error> {
    let params = PostParams {
        field_manager: Some(SECRET_MANAGER.to_owned()),
        ..PostParams::default()
    };
    if let Some(found) = found {
        let mut wanted = contract.secret(plain, Some(found));
        let same_content = found.type_ == wanted.type_ && found.data == wanted.data;
        let is_immutable = found.immutable == Some(true);
        if found.type_ == wanted.type_ && (same_content || !is_immutable) {
            wanted.immutable = found.immutable;
            return api
                .replace(name, &params, &wanted)
                .await
                .map_err(Error::api("replace the Secret"));
        }
        // Neither its type nor what is immutable can be changed in place.
        delete(api, found).await.map_err(Error::api("delete the Secret"))?;
    }
    let wanted = contract.secret(plain, None);
    api.create(&params, &wanted)
        .await
        .map_err(Error::api("create the Secret"))
}

async fn delete_secret(token: &ApiToken, ctx: &Context) -> Result<(), Error> {
    let key = dereference::key(token);
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), key.namespace().unwrap_or_default());
    let found = api.get_opt(key.name()).await.map_err(Error::api("read the Secret"))?;
    if let Some(found) = found.filter(|found| is_controlled_by(&found.metadata, token.metadata.uid.as_deref())) {
        delete(&api, &found).await.map_err(Error::api("delete the Secret"))?;
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
    delete(&api, token)
        .await
        .map_err(Error::of(&token.metadata, "delete the expired ApiToken"))
}

//! The Secret that holds a token: what it must look like, and what one that was found holds.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use k8s_openapi::{
    ByteString,
    api::core::v1::Secret,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};

use super::{
    credential::{Digest, Token},
    lifecycle::SecretFact,
    owner::{controller_reference, is_controlled_by, with_controller},
};
use crate::api::{
    ApiToken, CLAIMED, CREDENTIAL, CUSTOM_METADATA, Credential, CredentialState, EXPIRES_AT, MANAGED_BY, ORGANISATION,
};

/// The longest value a label may have.
const MAX_LABEL: usize = 63;

/// All of a token's Secret but the token: what a Secret is compared with.
#[derive(Clone, Debug, PartialEq)]
pub struct Contract {
    name: String,
    namespace: Option<String>,
    owner: Option<OwnerReference>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    token_key: String,
    client_id_key: String,
    secret_key_key: String,
    client_id: String,
    digest: String,
}

impl Contract {
    /// What the Secret of `token` must be while it holds `credential`.
    pub fn new(token: &ApiToken, credential: &Credential) -> Self {
        let options = token.spec.secret.clone().unwrap_or_default();
        let keys = options.keys.unwrap_or_default();
        let mut labels = options.labels;
        let mut annotations = options.annotations;
        if !labels.is_empty() || !annotations.is_empty() {
            let custom = custom_metadata(&labels, &annotations);
            annotations.insert(CUSTOM_METADATA.to_owned(), custom);
        }
        labels.insert(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned());
        labels.insert(ORGANISATION.to_owned(), organisation_label(&token.spec.organisation));
        if token.spec.organisation.len() > MAX_LABEL {
            annotations.insert(ORGANISATION.to_owned(), token.spec.organisation.clone());
        }
        annotations.insert(CREDENTIAL.to_owned(), credential.id.to_string());
        if let Some(expires_at) = &credential.expires_at {
            annotations.insert(EXPIRES_AT.to_owned(), expires_at.0.to_string());
        }
        Self {
            name: token.secret_name(),
            namespace: token.metadata.namespace.clone(),
            owner: controller_reference(token),
            labels,
            annotations,
            token_key: keys.token.unwrap_or_else(|| "token".to_owned()),
            client_id_key: keys.client_id.unwrap_or_else(|| "client-id".to_owned()),
            secret_key_key: keys.secret_key.unwrap_or_else(|| "secret-key".to_owned()),
            client_id: token
                .status
                .as_ref()
                .and_then(|status| status.client_id.clone())
                .unwrap_or_default(),
            digest: credential.digest.clone(),
        }
    }

    /// The Secret, with the token in it. What `found` carries besides is kept: others may label and annotate it.
    pub fn secret(&self, plain: &Token, found: Option<&Secret>) -> Secret {
        let mut metadata = found.map(|found| found.metadata.clone()).unwrap_or_default();
        metadata.managed_fields = None;
        metadata.name = Some(self.name.clone());
        metadata.namespace = self.namespace.clone();
        metadata.owner_references = Some(with_controller(&metadata, self.owner.as_ref()));
        self.forget_custom_metadata(&mut metadata);
        metadata.labels.get_or_insert_default().extend(self.labels.clone());
        metadata
            .annotations
            .get_or_insert_default()
            .extend(self.annotations.clone());
        Secret {
            metadata,
            type_: Some("Opaque".to_owned()),
            data: Some(self.data(plain.expose())),
            ..Secret::default()
        }
    }

    /// A number that stands for this contract: it changes when anything in it does.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.labels, &self.annotations).hash(&mut hasher);
        (
            &self.token_key,
            &self.client_id_key,
            &self.secret_key_key,
            &self.client_id,
            &self.digest,
        )
            .hash(&mut hasher);
        hasher.finish()
    }

    fn data(&self, plain: &str) -> BTreeMap<String, ByteString> {
        [
            (&self.token_key, plain),
            (&self.client_id_key, &self.client_id),
            (&self.secret_key_key, plain),
        ]
        .into_iter()
        .map(|(key, value)| (key.clone(), ByteString(value.as_bytes().to_vec())))
        .collect()
    }

    /// Takes out the labels and annotations that an earlier spec asked for, and those that are set anew anyway.
    fn forget_custom_metadata(&self, metadata: &mut ObjectMeta) {
        let annotations = metadata.annotations.get_or_insert_default();
        let custom = annotations.remove(CUSTOM_METADATA).unwrap_or_default();
        for own in [CREDENTIAL, EXPIRES_AT, CLAIMED] {
            annotations.remove(own);
        }
        for key in custom.split(',') {
            match key.split_once(':') {
                Some(("annotation", key)) => drop(annotations.remove(key)),
                Some(("label", key)) => drop(metadata.labels.get_or_insert_default().remove(key)),
                _ => {}
            }
        }
    }

    /// Whether a key that is to hold the token holds something else: it was edited, and is not merely to be renamed.
    fn is_contradicted_by(&self, secret: &Secret, plain: &str) -> bool {
        let value = |key: &String| secret.data.as_ref().and_then(|data| data.get(key));
        [&self.token_key, &self.secret_key_key]
            .into_iter()
            .filter_map(value)
            .any(|value| value.0 != plain.as_bytes())
    }

    fn is_met_by(&self, secret: &Secret, plain: &str) -> bool {
        let contains = |all: Option<&BTreeMap<String, String>>, wanted: &BTreeMap<String, String>| {
            wanted
                .iter()
                .all(|(key, value)| all.and_then(|all| all.get(key)) == Some(value))
        };
        let annotation = |key: &str| secret.metadata.annotations.as_ref().and_then(|all| all.get(key));
        secret.data.as_ref() == Some(&self.data(plain))
            && contains(secret.metadata.labels.as_ref(), &self.labels)
            && contains(secret.metadata.annotations.as_ref(), &self.annotations)
            && annotation(CUSTOM_METADATA) == self.annotations.get(CUSTOM_METADATA)
            && annotation(EXPIRES_AT) == self.annotations.get(EXPIRES_AT)
    }
}

/// The token in `secret` that belongs to a live credential of `token`, and that credential.
///
/// Looked for among all values: a renamed key is to be mended, not taken for an edit.
pub fn held<'a>(token: &'a ApiToken, secret: &Secret) -> Option<(&'a Credential, Token)> {
    let live: Vec<&Credential> = token
        .status
        .iter()
        .flat_map(|status| &status.credentials)
        .filter(|credential| credential.state != CredentialState::Retired)
        .collect();
    secret
        .data
        .iter()
        .flatten()
        .filter_map(|(_, value)| {
            let digest = Digest::of(&value.0).to_string();
            let credential = live.iter().find(|credential| credential.digest == digest)?;
            Some((*credential, Token::parse(std::str::from_utf8(&value.0).ok()?)?))
        })
        .max_by_key(|(credential, _)| credential.id)
}

/// What was found under the name of `token`'s Secret.
pub fn inspect(token: &ApiToken, secret: &Secret) -> SecretFact {
    if !is_controlled_by(&secret.metadata, token.metadata.uid.as_deref()) {
        let controller = secret
            .metadata
            .owner_references
            .iter()
            .flatten()
            .find(|owner| owner.controller == Some(true));
        return SecretFact::Foreign {
            controller: controller.map(|owner| {
                if owner.kind == "ApiToken" && Some(&owner.name) == token.metadata.name.as_ref() {
                    "an earlier ApiToken of this name".to_owned()
                } else {
                    format!("{} {:?}", owner.kind, owner.name)
                }
            }),
        };
    }
    let claimed = is_claimed(&secret.metadata);
    let deleting = secret.metadata.deletion_timestamp.is_some();
    let (mut holds, mut masked, mut intact) = (None, None, false);
    if let Some((credential, plain)) = held(token, secret) {
        let contract = Contract::new(token, credential);
        if !contract.is_contradicted_by(secret, plain.expose()) {
            (holds, masked) = (Some(credential.id), Some(plain.masked()));
            intact = contract.is_met_by(secret, plain.expose());
        }
    }
    SecretFact::Owned {
        holds,
        masked,
        intact,
        claimed,
        deleting,
    }
}

/// Whether the reader of a Secret shown once said that they have the token.
pub fn is_claimed(metadata: &ObjectMeta) -> bool {
    metadata
        .annotations
        .as_ref()
        .and_then(|all| all.get(CLAIMED))
        .is_some_and(|claimed| claimed == "true")
}

/// An organisation's name as a label's value: itself, or a hash where it is too long to be one.
pub fn organisation_label(name: &str) -> String {
    if name.len() <= MAX_LABEL {
        return name.to_owned();
    }
    let digest = Digest::of(name.as_bytes()).to_string();
    format!("sha256-{}", &digest["sha256:".len()..][..40])
}

fn custom_metadata(labels: &BTreeMap<String, String>, annotations: &BTreeMap<String, String>) -> String {
    let labels = labels.keys().map(|key| format!("label:{key}"));
    labels
        .chain(annotations.keys().map(|key| format!("annotation:{key}")))
        .collect::<Vec<_>>()
        .join(",")
}

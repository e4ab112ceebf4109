//! The rights that the manifests of `deploy/` give to the controller and the verifier: every test here runs with them.

use std::{fmt::Debug, fs, path::Path};

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        core::v1::Namespace,
        rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding},
    },
};
use kube::{Api, Client, Resource, ResourceExt, api::PostParams};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// The controller's account, as the API server calls it.
pub(crate) const CONTROLLER: &str = "system:serviceaccount:tokenwright-system:tokenwright-controller";
/// The verifier's.
pub(crate) const VERIFIER: &str = "system:serviceaccount:tokenwright-system:tokenwright-verifier";
/// Where both are installed.
pub(crate) const NAMESPACE: &str = "tokenwright-system";

/// Which installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overlay {
    AllNamespaces,
    /// Of the namespace shop.
    Namespaced,
}

/// The RBAC objects of an overlay, for the accounts of controller and verifier.
#[derive(Default)]
pub(crate) struct Rights {
    pub(crate) roles: Vec<ClusterRole>,
    pub(crate) everywhere: Vec<ClusterRoleBinding>,
    pub(crate) local: Vec<Role>,
    pub(crate) within: Vec<RoleBinding>,
}

impl Rights {
    pub(crate) fn of(overlay: Overlay) -> Self {
        let overlay = match overlay {
            Overlay::AllNamespaces => "overlays/all-namespaces/rights.yaml",
            Overlay::Namespaced => "overlays/namespaced/rights.yaml",
        };
        let mut rights = Self::default();
        for file in ["base/controller-rights.yaml", "base/verifier-rights.yaml", overlay] {
            for object in objects(file) {
                rights.enter(object);
            }
        }
        rights
    }

    fn enter(&mut self, object: Value) {
        match object["kind"].as_str().unwrap() {
            "ClusterRole" => self.roles.push(serde_json::from_value(object).unwrap()),
            "Role" => self.local.push(serde_json::from_value(object).unwrap()),
            "ClusterRoleBinding" => self.everywhere.push(serde_json::from_value(object).unwrap()),
            "RoleBinding" => self.within.push(serde_json::from_value(object).unwrap()),
            other => panic!("a {other} among the rights"),
        }
    }

    /// The rules of the roles whose names begin so.
    pub(crate) fn rules(&self, prefix: &str) -> Vec<PolicyRule> {
        let roles = self.roles.iter().map(|role| (role.name_any(), &role.rules));
        let local = self.local.iter().map(|role| (role.name_any(), &role.rules));
        let wanted = roles.chain(local).filter(|(name, _)| name.starts_with(prefix));
        wanted
            .flat_map(|(_, rules)| rules.clone().unwrap_or_default())
            .collect()
    }

    pub(crate) async fn install(&self, client: &Client) {
        create(client, &self.roles).await;
        create(client, &self.everywhere).await;
        let namespace: Namespace = serde_json::from_value(json!({ "metadata": { "name": NAMESPACE } })).unwrap();
        create(client, &[namespace]).await;
        for role in &self.local {
            create_within(client, role).await;
        }
        for binding in &self.within {
            create_within(client, binding).await;
        }
    }
}

fn objects(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy/kustomize")
        .join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

async fn create<K>(client: &Client, objects: &[K])
where
    K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
{
    for object in objects {
        let api: Api<K> = Api::all(client.clone());
        api.create(&PostParams::default(), object).await.unwrap();
    }
}

async fn create_within<K>(client: &Client, object: &K)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), &object.namespace().unwrap());
    api.create(&PostParams::default(), object).await.unwrap();
}

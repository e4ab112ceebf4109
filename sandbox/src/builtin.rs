//! The schemas of builtin kinds, as the client library describes them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use k8s_openapi::api;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions;
use k8s_openapi::apimachinery::pkg::apis::meta;
use schemars::JsonSchema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Value, json};

/// Where references between schemas point.
pub(crate) const REFERENCES: &str = "#/components/schemas/";
pub(crate) const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// Some of them, by their names.
pub(crate) struct Schemas {
    /// The name of the schema of a (group, kind).
    names: BTreeMap<(&'static str, &'static str), String>,
    definitions: BTreeMap<String, Value>,
}

impl Schemas {
    /// The name of the schema of a builtin kind.
    pub(crate) fn name(&self, group: &str, kind: &str) -> Option<&str> {
        self.names
            .iter()
            .find(|((of_group, of_kind), _)| *of_group == group && *of_kind == kind)
            .map(|(_, name)| name.as_str())
    }

    /// A schema by its name.
    pub(crate) fn definition(&self, name: &str) -> Option<&Value> {
        self.definitions.get(name)
    }
}

/// Those of the builtin kinds that are served.
pub(crate) fn kinds() -> &'static Schemas {
    static KINDS: LazyLock<Schemas> = LazyLock::new(generate_kinds);
    &KINDS
}

/// Those of the metadata of every kind. Apart, so that a program which asks for no others does not carry them.
pub(crate) fn metadata() -> &'static Schemas {
    static METADATA: LazyLock<Schemas> = LazyLock::new(|| Collector::new().generate());
    &METADATA
}

struct Collector {
    generator: SchemaGenerator,
    names: BTreeMap<(&'static str, &'static str), String>,
}

impl Collector {
    /// With the metadata of objects, which every kind has.
    fn new() -> Self {
        let mut generator = SchemaSettings::openapi3().into_generator();
        let _ = generator.subschema_for::<meta::v1::ObjectMeta>();
        let names = BTreeMap::new();
        Self { generator, names }
    }

    fn add<T: JsonSchema>(&mut self, group: &'static str, kind: &'static str) {
        let _ = self.generator.subschema_for::<T>();
        self.names.insert((group, kind), T::schema_name().into_owned());
    }

    fn generate(mut self) -> Schemas {
        let generated = self.generator.take_definitions(false).into_iter();
        let definitions = generated.map(|(name, mut schema)| {
            wrap_references(&mut schema);
            // The library's types always have metadata; manifests need not.
            if let Some(required) = schema["required"].as_array_mut() {
                required.retain(|field| field != "metadata");
            }
            if schema["required"].as_array().is_some_and(Vec::is_empty)
                && let Some(schema) = schema.as_object_mut()
            {
                schema.remove("required");
            }
            (name, schema)
        });
        Schemas {
            definitions: definitions.collect(),
            names: self.names,
        }
    }
}

fn generate_kinds() -> Schemas {
    let mut all = Collector::new();
    all.add::<api::core::v1::Namespace>("", "Namespace");
    all.add::<api::core::v1::Secret>("", "Secret");
    all.add::<api::core::v1::ConfigMap>("", "ConfigMap");
    all.add::<api::core::v1::Event>("", "Event");
    all.add::<api::core::v1::ServiceAccount>("", "ServiceAccount");
    all.add::<api::core::v1::Pod>("", "Pod");
    all.add::<api::core::v1::Service>("", "Service");
    all.add::<api::events::v1::Event>("events.k8s.io", "Event");
    all.add::<api::coordination::v1::Lease>("coordination.k8s.io", "Lease");
    all.add::<api::apps::v1::Deployment>("apps", "Deployment");
    all.add::<api::apps::v1::StatefulSet>("apps", "StatefulSet");
    all.add::<api::apps::v1::DaemonSet>("apps", "DaemonSet");
    all.add::<api::apps::v1::ReplicaSet>("apps", "ReplicaSet");
    all.add::<api::autoscaling::v2::HorizontalPodAutoscaler>("autoscaling", "HorizontalPodAutoscaler");
    all.add::<api::batch::v1::CronJob>("batch", "CronJob");
    all.add::<api::batch::v1::Job>("batch", "Job");
    all.add::<api::networking::v1::NetworkPolicy>("networking.k8s.io", "NetworkPolicy");
    all.add::<api::policy::v1::PodDisruptionBudget>("policy", "PodDisruptionBudget");
    all.add::<api::scheduling::v1::PriorityClass>("scheduling.k8s.io", "PriorityClass");
    all.add::<api::rbac::v1::Role>("rbac.authorization.k8s.io", "Role");
    all.add::<api::rbac::v1::RoleBinding>("rbac.authorization.k8s.io", "RoleBinding");
    all.add::<api::rbac::v1::ClusterRole>("rbac.authorization.k8s.io", "ClusterRole");
    all.add::<api::rbac::v1::ClusterRoleBinding>("rbac.authorization.k8s.io", "ClusterRoleBinding");
    all.add::<api::authorization::v1::SubjectAccessReview>("authorization.k8s.io", "SubjectAccessReview");
    all.add::<api::authorization::v1::SelfSubjectAccessReview>("authorization.k8s.io", "SelfSubjectAccessReview");
    all.add::<api::authorization::v1::SelfSubjectRulesReview>("authorization.k8s.io", "SelfSubjectRulesReview");
    all.add::<api::authorization::v1::LocalSubjectAccessReview>("authorization.k8s.io", "LocalSubjectAccessReview");
    all.add::<api::authentication::v1::TokenReview>("authentication.k8s.io", "TokenReview");
    all.add::<api::authentication::v1::SelfSubjectReview>("authentication.k8s.io", "SelfSubjectReview");
    all.add::<apiextensions::v1::CustomResourceDefinition>("apiextensions.k8s.io", "CustomResourceDefinition");
    let _ = all.generator.subschema_for::<meta::v1::ListMeta>();
    all.generate()
}

/// Puts each reference with something beside it into an `allOf`, the only place where a reader looks at both.
fn wrap_references(schema: &mut Value) {
    match schema {
        Value::Object(keywords) => {
            if keywords.len() > 1
                && keywords.get("$ref").is_some_and(Value::is_string)
                && let Some(reference) = keywords.remove("$ref")
            {
                keywords.insert("allOf".to_owned(), json!([{"$ref": reference}]));
            }
            keywords.values_mut().for_each(wrap_references);
        }
        Value::Array(items) => items.iter_mut().for_each(wrap_references),
        _ => {}
    }
}

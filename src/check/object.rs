//! The objects in files: which are ours, and what the schema says of them.

use std::{collections::BTreeMap, sync::LazyLock};

use kube::Resource;
use kube_sandbox::{
    kind::{Kind, Problem},
    schema::{ErrorKind, FieldError},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    Cluster, File, Finding, Name, Rule, Severity,
    document::{self, Node, Unreadable},
    header::{self, Header},
};
use crate::api::{ApiToken, GROUP, Organisation, TokenPolicy, VERSION, crds};

/// The kinds that there are. A definition that does not compile would be a defect of this program, which tests find.
static KINDS: LazyLock<Vec<Kind>> = LazyLock::new(|| {
    let definitions = crds().into_iter().filter_map(|crd| serde_json::to_value(crd).ok());
    definitions
        .filter_map(|definition| Kind::read(&definition).ok())
        .flatten()
        .collect()
});

/// Everything of ours in the files.
pub(super) struct Set {
    pub(super) organisations: Vec<Found<Organisation>>,
    pub(super) policies: Vec<Found<TokenPolicy>>,
    pub(super) tokens: Vec<Found<ApiToken>>,
    /// Their labels.
    pub(super) namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// Of a kind or version that there is not, or with metadata that cannot be read.
    strangers: usize,
}

/// An object in a file.
pub(super) struct Found<K> {
    pub(super) source: Source,
    value: Value,
    /// None: it cannot be read as its kind.
    pub(super) object: Option<K>,
    /// Whether the schema refuses it.
    pub(super) is_refused: bool,
}

/// Where an object stands, and what it is called.
pub(super) struct Source {
    file: String,
    node: Node,
    pub(super) name: Name,
}

impl Source {
    pub(super) fn finding(&self, severity: Severity, rule: Rule, field: &str, message: impl Into<String>) -> Finding {
        let is_field = !field.is_empty() && field != "<nil>";
        Finding {
            file: self.file.clone(),
            line: self.node.line_of(field),
            severity,
            rule,
            object: Some(self.name.clone()),
            field: is_field.then(|| field.to_owned()),
            message: message.into(),
        }
    }

    /// `acme.yaml:12`
    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.file, self.node.line)
    }
}

impl Set {
    pub(super) fn objects(&self) -> usize {
        self.organisations.len() + self.policies.len() + self.tokens.len() + self.strangers
    }
}

/// Finds what is ours. Objects of other kinds are passed over.
pub(super) fn read(files: &[File], namespace: Option<&str>, findings: &mut Vec<Finding>) -> Set {
    let mut set = Set {
        organisations: Vec::new(),
        policies: Vec::new(),
        tokens: Vec::new(),
        namespaces: BTreeMap::new(),
        strangers: 0,
    };
    for file in files {
        for document in document::read(&file.text) {
            let nodes = match document {
                Ok(node) => node.flatten(),
                Err(unreadable) => {
                    findings.push(unreadable_file(file, unreadable));
                    continue;
                }
            };
            for node in nodes {
                take(&mut set, file, node, namespace, findings);
            }
        }
    }
    set
}

fn unreadable_file(file: &File, unreadable: Unreadable) -> Finding {
    let at_fault = file.text.lines().nth(unreadable.line as usize - 1).unwrap_or_default();
    let is_template = at_fault.contains("{{") || file.text.contains("{{") && file.text.contains(".Values");
    let advice = if is_template {
        "This looks like a Helm template: check what it renders, with 'helm template … | tokenwright check -'."
    } else {
        "Nothing of this document was judged."
    };
    Finding {
        file: file.name.clone(),
        line: unreadable.line,
        severity: Severity::Error,
        rule: Rule::Unreadable,
        object: None,
        field: None,
        message: format!(
            "This cannot be read: {}. {advice}",
            unreadable.message.trim_end_matches('.')
        ),
    }
}

fn take(set: &mut Set, file: &File, node: Node, namespace: Option<&str>, findings: &mut Vec<Finding>) {
    let mut value = node.to_value();
    let text = |pointer: &str| {
        value
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let header = Header::of(&value);
    let (api_version, kind) = (header.api_version.to_owned(), header.kind.to_owned());
    if (api_version.as_str(), kind.as_str()) == ("v1", "Namespace") {
        let name = text("/metadata/name");
        let labels = value["metadata"]["labels"].as_object().into_iter().flatten();
        let labels = labels.map(|(key, label)| (key.clone(), label.as_str().unwrap_or_default().to_owned()));
        let labels = with_its_name(&name, labels.collect());
        set.namespaces.insert(name, labels);
        return;
    }
    let (misspelling, defect) = (header.misspelling(), header::defect(&value));
    let (is_ours, concerns_us) = (header.is_ours(), header::concerns_us(&value));
    // What is no text is said to be none, and shown as it is.
    let shown = |pointer: &str| match value.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(scalar @ (Value::Number(_) | Value::Bool(_))) => scalar.to_string(),
        _ => String::new(),
    };
    let name = Some(shown("/metadata/name")).filter(|name| !name.is_empty());
    let mut source = Source {
        file: file.name.clone(),
        node,
        name: Name {
            namespace: None,
            name: name.unwrap_or_else(|| format!("{}*", shown("/metadata/generateName"))),
            kind,
        },
    };
    if let Some(why) = defect.filter(|_| concerns_us) {
        let finding = source.finding(Severity::Error, Rule::Unreadable, "", why);
        findings.push(Finding {
            object: None,
            ..finding
        });
        return;
    }
    if let Some(why) = misspelling {
        findings.push(source.finding(Severity::Warning, Rule::UnknownKind, "apiVersion", why));
    }
    if !is_ours {
        return;
    }
    let Some(known) = kind_of(&api_version, &source.name.kind) else {
        set.strangers += 1;
        let known: Vec<&str> = KINDS.iter().map(|known| &*known.kind).collect();
        let (kind, known) = (&source.name.kind, known.join(", "));
        let message = format!("There is no kind {kind:?} of {api_version:?}. {GROUP}/{VERSION} has: {known}.");
        findings.push(source.finding(Severity::Error, Rule::UnknownKind, "kind", message));
        return;
    };
    if known.namespaced {
        let own = Some(shown("/metadata/namespace")).filter(|own| !own.is_empty());
        source.name.namespace = own.or_else(|| namespace.map(str::to_owned));
    }
    if let Some((field, why)) = header::no_text(&value) {
        set.strangers += 1;
        findings.push(source.finding(Severity::Error, Rule::InvalidField, &field, why));
        return;
    }
    if known.namespaced
        && let (Some(namespace), Some(metadata)) = (&source.name.namespace, value["metadata"].as_object_mut())
    {
        metadata.insert("namespace".to_owned(), json!(namespace));
    }
    match source.name.kind.as_str() {
        "Organisation" => set.organisations.push(Found::new(source, value)),
        "TokenPolicy" => set.policies.push(Found::new(source, value)),
        "ApiToken" => set.tokens.push(Found::new(source, value)),
        _ => set.strangers += 1,
    }
}

/// Every namespace has its name as a label.
fn with_its_name(name: &str, mut labels: BTreeMap<String, String>) -> BTreeMap<String, String> {
    labels.insert("kubernetes.io/metadata.name".to_owned(), name.to_owned());
    labels
}

fn kind_of(api_version: &str, kind: &str) -> Option<&'static Kind> {
    KINDS
        .iter()
        .find(|known| known.api_version == api_version && known.kind == kind)
}

/// Judges all by the schema: as new ones, and as changes of what was there before, be it in the cluster or in a file.
pub(super) fn judge(set: &mut Set, cluster: Option<&Cluster>, findings: &mut Vec<Finding>) {
    judge_all(
        &mut set.organisations,
        cluster.map(|cluster| &*cluster.organisations),
        findings,
    );
    judge_all(&mut set.policies, cluster.map(|cluster| &*cluster.policies), findings);
    judge_all(&mut set.tokens, cluster.map(|cluster| &*cluster.tokens), findings);
}

fn judge_all<K>(all: &mut [Found<K>], there: Option<&[K]>, findings: &mut Vec<Finding>)
where
    K: Resource<DynamicType = ()> + Serialize + DeserializeOwned,
{
    let key = |object: &K| (object.meta().namespace.clone(), object.meta().name.clone());
    let mut before: BTreeMap<_, Value> = BTreeMap::new();
    for object in there.into_iter().flatten() {
        if let Ok(value) = serde_json::to_value(object) {
            before.insert(key(object), value);
        }
    }
    for found in all {
        let name = (
            found.source.name.namespace.clone(),
            Some(found.source.name.name.clone()),
        );
        found.judge(before.get(&name), findings);
        before.insert(name, found.value.clone());
    }
}

impl<K> Found<K> {
    /// The object, unless the schema refuses it: then it changes nothing for others.
    pub(super) fn sound(&self) -> Option<&K> {
        self.object.as_ref().filter(|_| !self.is_refused)
    }
}

impl<K: Resource + DeserializeOwned> Found<K> {
    fn new(source: Source, value: Value) -> Self {
        Self {
            source,
            value,
            object: None,
            is_refused: false,
        }
    }

    fn judge(&mut self, old: Option<&Value>, findings: &mut Vec<Finding>) {
        let source = &self.source;
        let Some(kind) = kind_of(self.value["apiVersion"].as_str().unwrap_or_default(), &source.name.kind) else {
            return;
        };
        let is_placed = !kind.namespaced || source.name.namespace.is_some();
        if !is_placed && let Some(metadata) = self.value["metadata"].as_object_mut() {
            // Some namespace it will have.
            metadata.insert("namespace".to_owned(), json!("default"));
        }
        let problems = kind.judge(&mut self.value, old);
        self.is_refused = !problems.is_empty();
        if !is_placed {
            let message = "It does not say its namespace, so it goes where kubectl happens to be. Write metadata.namespace, \
                           or give --namespace.";
            findings.push(source.finding(Severity::Warning, Rule::NamespaceMissing, "metadata", message));
            if let Some(metadata) = self.value["metadata"].as_object_mut() {
                metadata.remove("namespace");
            }
        }
        let worth_telling = problems.iter().filter(|problem| !is_about_others(problem));
        findings.extend(worth_telling.map(|problem| finding_of(source, kind, problem)));
        if let Some(old) = old {
            keep(&mut self.value, old);
        }
        match serde_json::from_value(self.value.clone()) {
            Ok(object) => self.object = Some(object),
            Err(_) if self.is_refused => {}
            // The schema lets pass what cannot be read, such as a time in a zone of 99 hours.
            Err(error) => {
                let error = error.to_string();
                let message = format!("The {} cannot be read: {error}.", source.name.kind);
                let field = error.split(": ").next().filter(|field| field.starts_with("spec."));
                findings.push(source.finding(Severity::Error, Rule::InvalidSpec, field.unwrap_or("spec"), message));
            }
        }
    }
}

/// What stays of an object that is changed, whatever a manifest says.
fn keep(value: &mut Value, old: &Value) {
    if let Some(status) = old.get("status") {
        value["status"] = status.clone();
    }
    for field in ["uid", "creationTimestamp"] {
        if let Some(known) = old["metadata"].get(field) {
            value["metadata"][field] = known.clone();
        }
    }
}

/// Whether it says that there are others, and that rules have to wait for them.
fn is_about_others(problem: &Problem) -> bool {
    matches!(problem, Problem::Invalid(error) if error.field == "<nil>" && error.value == Some(Value::Null))
}

fn finding_of(source: &Source, kind: &Kind, problem: &Problem) -> Finding {
    match problem {
        Problem::Unreadable(why) => source.finding(Severity::Error, Rule::InvalidField, "metadata", why),
        Problem::UnknownField(field) => {
            let message = format!("unknown field {field:?}. {}", instead_of(field, &kind.siblings(field)));
            source.finding(Severity::Error, Rule::UnknownField, field, message)
        }
        Problem::Invalid(error) => source.finding(Severity::Error, Rule::InvalidField, &error.field, words(error)),
    }
}

/// What can be written instead of an unknown field: what starts as it does, or all there is.
fn instead_of(field: &str, known: &[&str]) -> String {
    const ALIKE: usize = 4;
    let name = field.rsplit('.').next().unwrap_or(field);
    let in_common = |known: &str| {
        known
            .chars()
            .zip(name.chars())
            .take_while(|(one, other)| one == other)
            .count()
    };
    let nearest = known
        .iter()
        .max_by_key(|known| in_common(known))
        .filter(|known| in_common(known) >= ALIKE);
    match nearest {
        Some(nearest) => format!("Perhaps {nearest:?} is meant."),
        None if known.is_empty() => "Take it out.".to_owned(),
        None => format!("There are: {}.", known.join(", ")),
    }
}

/// The API server's words, but for a repetition of the whole object, or of the type.
fn words(error: &FieldError) -> String {
    let is_whole = match &error.value {
        Some(Value::Object(_) | Value::Array(_) | Value::Null) | None => true,
        Some(Value::String(text)) => text == "object" || text == "array",
        Some(_) => false,
    };
    match error.kind {
        ErrorKind::Invalid if is_whole && !error.detail.is_empty() => error.detail.clone(),
        ErrorKind::TypeInvalid => error.detail.clone(),
        _ => error.body(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_schema_that_compiles() {
        let kinds: Vec<&str> = KINDS.iter().map(|kind| &*kind.kind).collect();
        assert_eq!(kinds, ["Organisation", "ApiToken", "TokenPolicy"]);
    }

    #[test]
    fn a_misspelt_field_is_told_what_may_be_meant() {
        assert_eq!(
            instead_of("spec.expires", &["expiry", "role"]),
            "Perhaps \"expiry\" is meant."
        );
        assert_eq!(
            instead_of("spec.owner", &["expiry", "role"]),
            "There are: expiry, role."
        );
        assert_eq!(instead_of("owner", &[]), "Take it out.");
    }
}

//! Nobody grants rights that they do not have.

use serde_json::Value;

use super::{Attempt, Rule, User};
use crate::catalog::Resource;
use crate::cluster::Cluster;
use crate::status::{Answer, Refusal};
use crate::store::{items, text};

/// Checks a role or binding that a user is about to write.
pub(crate) fn check(
    cluster: &mut Cluster,
    user: &User,
    resource: &Resource,
    object: &Value,
    old: Option<&Value>,
) -> Answer<()> {
    if user.is_master() {
        return Ok(());
    }
    let namespace = text(&object["metadata"]["namespace"]).to_owned();
    let name = text(&object["metadata"]["name"]).to_owned();
    let attempt = |verb: &str, plural: &str, name: &str| Attempt {
        verb: verb.to_owned(),
        group: resource.group.clone(),
        resource: plural.to_owned(),
        namespace: namespace.clone(),
        name: name.to_owned(),
        ..Attempt::default()
    };
    let granted = match resource.plural.as_str() {
        "roles" | "clusterroles" => {
            if old.is_some_and(|old| old["rules"] == object["rules"])
                || cluster.allows(user, &attempt("escalate", &resource.plural, &name))
            {
                return Ok(());
            }
            items(&object["rules"]).iter().map(Rule::read).collect()
        }
        "rolebindings" | "clusterrolebindings" => {
            let role = &object["roleRef"];
            let (kind, role) = (text(&role["kind"]), text(&role["name"]));
            let plural = if kind == "Role" { "roles" } else { "clusterroles" };
            let unchanged =
                old.is_some_and(|old| old["roleRef"] == object["roleRef"] && old["subjects"] == object["subjects"]);
            if unchanged || cluster.allows(user, &attempt("bind", plural, role)) {
                return Ok(());
            }
            match cluster.rules_of_role(kind, &namespace, role) {
                Some(rules) => rules,
                None => {
                    let mut refusal = Refusal::new(
                        http::StatusCode::NOT_FOUND,
                        "NotFound",
                        format!("{} \"{role}\" not found", resource.qualified()),
                    );
                    refusal.details = Some(crate::status::details(&resource.group, &resource.plural, role));
                    return Err(refusal);
                }
            }
        }
        _ => return Ok(()),
    };
    let held = cluster.rules_of(user, &namespace);
    let missing: Vec<String> = granted
        .iter()
        .filter(|rule| !covered(&held, rule))
        .map(Rule::compact)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let groups: Vec<String> = user.groups.iter().map(|group| format!("\"{group}\"")).collect();
    let why = format!(
        "user \"{}\" (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
        user.name,
        groups.join(" "),
        missing.join("\n")
    );
    Err(Refusal::forbidden(resource, &name, &why))
}

/// Whether the rules that are held allow everything that the wanted one would.
fn covered(held: &[Rule], wanted: &Rule) -> bool {
    let any = |list: &[String], value: &str| list.iter().any(|it| it == "*" || it == value);
    let urls = wanted.urls.iter().all(|url| {
        wanted.verbs.iter().all(|verb| {
            held.iter().any(|rule| {
                let covers = |own: &String| own == url || own.strip_suffix('*').is_some_and(|own| url.starts_with(own));
                any(&rule.verbs, verb) && rule.urls.iter().any(covers)
            })
        })
    });
    let nameless = [String::new()];
    let names = if wanted.names.is_empty() {
        &nameless[..]
    } else {
        &wanted.names[..]
    };
    let one = |verb: &str, group: &str, resource: &str, name: &str| {
        held.iter().any(|rule| {
            any(&rule.verbs, verb)
                && any(&rule.groups, group)
                && any(&rule.resources, resource)
                && (rule.names.is_empty() || (!name.is_empty() && rule.names.iter().any(|it| it == name)))
        })
    };
    urls && wanted.groups.iter().all(|group| {
        wanted.resources.iter().all(|resource| {
            names
                .iter()
                .all(|name| wanted.verbs.iter().all(|verb| one(verb, group, resource, name)))
        })
    })
}

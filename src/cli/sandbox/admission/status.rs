//! status.yaml.

use kube_sandbox::admission::{Authorizer, Request};
use serde_json::{Map, Value};

use crate::api::GROUP;

/// What whoever may not write all of a status may write.
const USED: [&str; 2] = ["lastUsed", "lastReuse"];

/// Lets a write of an ApiToken's status through, or says why not.
pub(super) fn judge(
    request: &Request<'_>,
    object: Option<&Value>,
    authorizer: &mut Authorizer<'_>,
) -> Result<(), String> {
    if is_about_use(request.old, object)
        || authorizer.allows("update", GROUP, "apitokens/status", request.namespace, request.name)
    {
        return Ok(());
    }
    let user = &request.user.name;
    Err(format!(
        "user \"{user}\" may write only lastUsed and lastReuse in the status of an ApiToken: the rest is for whoever holds \
         the verb update on apitokens/status, such as the controller."
    ))
}

/// Whether these differ in what is about use alone.
fn is_about_use(old: Option<&Value>, new: Option<&Value>) -> bool {
    let none = Map::new();
    let (before, after) = (fields(old).unwrap_or(&none), fields(new).unwrap_or(&none));
    let is_kept = |field: &String| USED.contains(&field.as_str()) || before.get(field) == after.get(field);
    before.keys().chain(after.keys()).all(is_kept)
}

fn fields(object: Option<&Value>) -> Option<&Map<String, Value>> {
    object?["status"].as_object()
}

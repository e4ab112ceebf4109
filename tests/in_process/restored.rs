//! What docs/recovery.md promises of a backup that is restored.

use kube::{
    ResourceExt,
    api::{DeleteParams, PostParams},
};
use serde_json::json;
use tokenwright::api::ApiToken;

use crate::cluster::Cluster;

#[tokio::test(start_paused = true)]
async fn a_token_restored_with_its_status_works_on_for_an_hour_and_has_a_new_one() {
    let mut cluster = Cluster::start().await;
    let before = cluster.issue("web", json!({})).await;
    cluster.stop().await;
    restore(&cluster, &before.token, true).await;
    cluster.run_controller();
    cluster.idle().await;
    let after = cluster.token("web").await;
    assert_ne!(before.token.uid(), after.token.uid());
    assert_eq!(before.status().client_id, after.status().client_id);
    assert_eq!((after.held(), after.ready()), (Some(2), ("True", "Rotating")));
    let old = &before.status().credentials[0].digest;
    let accepted: Vec<bool> = after.accepted().iter().map(|it| it.digest == *old).collect();
    assert_eq!(accepted, [true, false]);
    cluster.pass_hours(1).await;
    cluster.idle().await;
    let later = cluster.token("web").await;
    assert_eq!((later.held(), later.accepted().len()), (Some(2), 1));
    assert_ne!(later.accepted()[0].digest, *old);
}

#[tokio::test(start_paused = true)]
async fn a_token_restored_without_its_status_is_another() {
    let mut cluster = Cluster::start().await;
    let before = cluster.issue("web", json!({})).await;
    cluster.stop().await;
    restore(&cluster, &before.token, false).await;
    cluster.run_controller();
    cluster.idle().await;
    let after = cluster.token("web").await;
    assert_ne!(before.status().client_id, after.status().client_id);
    let old = &before.status().credentials[0].digest;
    assert!(after.accepted().iter().all(|credential| credential.digest != *old));
    assert_eq!((after.held(), after.ready()), (Some(1), ("True", "Issued")));
}

/// Deletes a token, and with it its Secret, and makes it again from what is remembered of it.
async fn restore(cluster: &Cluster, token: &ApiToken, with_status: bool) {
    cluster.tokens().delete("web", &DeleteParams::default()).await.unwrap();
    assert!(cluster.secrets().get_opt("web").await.unwrap().is_none());
    let mut made = ApiToken::new("web", token.spec.clone());
    made = cluster.tokens().create(&PostParams::default(), &made).await.unwrap();
    if with_status {
        made.status = token.status.clone();
        let tokens = cluster.tokens();
        tokens
            .replace_status("web", &PostParams::default(), &made)
            .await
            .unwrap();
    }
}

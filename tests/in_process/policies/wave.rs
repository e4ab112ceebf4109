//! What it costs when a policy changes that is for very many tokens.

use super::*;
use crate::cluster::cpu_time;

/// Ten thousand tokens under a policy that changes: what it costs. Heavy, so by `--ignored` and best optimised.
#[tokio::test(start_paused = true)]
#[ignore = "takes a while"]
async fn a_wave_over_ten_thousand_tokens() {
    const TOKENS: usize = 10_000;
    let mut cluster = Cluster::without_controller().await;
    for number in 0..TOKENS {
        let after = if number % 2 == 0 { "90d" } else { "5d" };
        cluster
            .create(&format!("t{number}"), json!({ "expiry": { "after": after } }))
            .await;
    }
    cluster.run_controller();
    cluster.pass(Duration::from_secs(30)).await;
    let ready = |token: &ApiToken| token.status.as_ref().is_some_and(|status| status.issued_at.is_some());
    assert!(cluster.list::<ApiToken>().await.iter().all(ready));
    for (name, spec, expected) in [
        (
            "max",
            json!({ "expiry": { "max": "30d" }, "maxTokens": TOKENS }),
            TOKENS,
        ),
        (
            "max",
            json!({ "expiry": { "max": "40d" }, "maxTokens": TOKENS }),
            TOKENS / 2,
        ),
        ("max", json!({ "expiry": { "max": "40d" }, "maxTokens": TOKENS + 1 }), 0),
    ] {
        cluster.writes();
        let (started, used) = (std::time::Instant::now(), cpu_time());
        cluster.policy(name, spec).await;
        cluster.pass(Duration::from_secs(30)).await;
        let (took, used) = (started.elapsed(), cpu_time() - used);
        let writes = cluster.writes();
        let of = |what: &str| writes.iter().filter(|write| *write == what).count();
        println!(
            "{expected} of {TOKENS} tokens changed: {} status writes of tokens, {} of the policy, {took:?}, processor {used:?}",
            of("update apitokens/status"),
            of("update tokenpolicies/status"),
        );
        assert_eq!(of("update apitokens/status"), expected);
    }
}

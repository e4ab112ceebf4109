//! Builtin kinds.

use super::{Bench, holds};

const DEPLOYMENT: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: "nginx:1", ports: [{containerPort: 80}], env: [{name: A, value: "1"}]}
      - {name: side, image: "side:1"}
"#;

#[tokio::test]
async fn create_get_and_describe() {
    let bench = Bench::new().await;
    bench.ok("create namespace team").await;
    bench
        .ok("-n team create secret generic keys --from-literal=a=secret")
        .await;
    bench.ok("-n team create configmap settings --from-literal=x=y").await;
    bench.ok("-n team create serviceaccount robot").await;
    bench
        .ok("-n team create role reader --verb=get,list --resource=secrets")
        .await;
    bench
        .ok("-n team create rolebinding reader --role=reader --user=bob")
        .await;
    holds(
        &bench.refused("-n team create configmap settings").await,
        &["configmaps \"settings\" already exists"],
    );
    holds(
        &bench.refused("-n none create configmap settings").await,
        &["namespaces \"none\" not found"],
    );

    holds(
        &bench.ok("get namespaces").await,
        &["NAME", "STATUS", "AGE", "team", "Active"],
    );
    holds(
        &bench.ok("-n team get secrets").await,
        &["TYPE", "DATA", "keys", "Opaque", "1"],
    );
    holds(&bench.ok("get secrets -A").await, &["NAMESPACE", "team", "keys"]);
    holds(
        &bench.ok("-n team get secret keys -o yaml").await,
        &["a: c2VjcmV0", "kind: Secret", "type: Opaque"],
    );
    holds(
        &bench.ok("-n team get secret keys -o json").await,
        &["\"a\": \"c2VjcmV0\""],
    );
    assert_eq!(
        bench.ok("-n team get secret keys -o jsonpath={.data.a}").await,
        "c2VjcmV0"
    );
    assert_eq!(
        bench.ok("-n team get configmap,serviceaccount -o name").await,
        "configmap/settings\nserviceaccount/robot\n"
    );
    assert_eq!(
        bench
            .ok("-n team get cm -o custom-columns=NAME:.metadata.name,X:.data.x")
            .await,
        "NAME       X\nsettings   y\n"
    );
    holds(
        &bench.ok("-n team get cm -o wide --show-labels").await,
        &["LABELS", "<none>"],
    );
    holds(
        &bench.refused("-n team get configmap none").await,
        &["configmaps \"none\" not found"],
    );

    bench.ok("-n team label configmap settings kind=main").await;
    bench.ok("-n team annotate configmap settings note=yes").await;
    assert_eq!(
        bench.ok("-n team get cm -l kind=main -o name").await,
        "configmap/settings\n"
    );
    assert_eq!(bench.ok("-n team get cm -l kind!=main -o name").await, "");
    assert_eq!(
        bench
            .ok("-n team get cm --field-selector metadata.name=settings -o name")
            .await,
        "configmap/settings\n"
    );
    holds(
        &bench.ok("-n team describe configmap settings").await,
        &["kind=main", "note: yes", "x:", "y"],
    );
    holds(
        &bench.ok("-n team describe secret keys").await,
        &["Type:  Opaque", "a:  6 bytes"],
    );
    holds(
        &bench.ok("-n team describe role reader").await,
        &["secrets", "[get list]"],
    );

    bench
        .ok("-n team patch configmap settings --type=json -p [{\"op\":\"add\",\"path\":\"/data/z\",\"value\":\"1\"}]")
        .await;
    bench
        .ok("-n team patch configmap settings --type=merge -p {\"data\":{\"x\":null}}")
        .await;
    bench
        .ok("-n team patch configmap settings -p {\"data\":{\"w\":\"2\"}}")
        .await;
    assert_eq!(
        bench.ok("-n team get cm settings -o jsonpath={.data}").await,
        r#"{"w":"2","z":"1"}"#
    );
    let edited = bench
        .kubectl
        .command("-n team edit configmap settings".split(' '))
        .env("EDITOR", "sed -i s/2/3/")
        .output();
    assert!(edited.await.expect("kubectl runs").status.success());
    assert_eq!(bench.ok("-n team get cm settings -o jsonpath={.data.w}").await, "3");
}

#[tokio::test]
async fn apply_diff_and_roll_out() {
    let bench = Bench::new().await;
    bench.write("web.yaml", DEPLOYMENT);
    holds(&bench.ok("apply -f web.yaml").await, &["deployment.apps/web created"]);
    holds(&bench.ok("apply -f web.yaml").await, &["deployment.apps/web unchanged"]);
    let without_side = DEPLOYMENT.replace("      - {name: side, image: \"side:1\"}\n", "");
    bench.write(
        "web.yaml",
        &without_side
            .replace("nginx:1", "nginx:2")
            .replace("value: \"1\"", "value: \"2\""),
    );
    let diff = bench.kubectl.run("diff -f web.yaml".split(' ')).await;
    assert_eq!(diff.code, Some(1), "{}", diff.stderr);
    holds(
        &diff.stdout,
        &[
            "-        image: nginx:1",
            "+        image: nginx:2",
            "-      - image: side:1",
        ],
    );
    holds(&bench.ok("apply -f web.yaml").await, &["configured"]);
    let path = "get deployment web -o jsonpath={.spec.template.spec.containers[*].name}:{.spec.template.spec.containers[0].env[0].value}";
    assert_eq!(bench.ok(path).await, "web:2");
    holds(
        &bench.refused("apply --server-side -f web.yaml").await,
        &["does not do server-side apply"],
    );

    holds(
        &bench.ok("rollout status deployment/web --timeout=20s").await,
        &["successfully rolled out"],
    );
    bench.ok("rollout restart deployment/web").await;
    holds(
        &bench.ok("rollout history deployment/web").await,
        &["REVISION", "1", "2", "3"],
    );
    bench.ok("scale deployment/web --replicas=5").await;
    bench
        .ok("wait deployment/web --for=jsonpath={.status.readyReplicas}=5 --timeout=20s")
        .await;
    bench
        .ok("wait deployment/web --for=condition=Available --timeout=20s")
        .await;
    holds(&bench.ok("get deployments").await, &["READY", "5/5"]);
    holds(
        &bench.ok("get all").await,
        &["deployment.apps/web", "replicaset.apps/web-"],
    );

    bench.sandbox.hold_rollouts();
    bench.ok("scale deployment/web --replicas=6").await;
    holds(
        &bench.refused("rollout status deployment/web --timeout=1s").await,
        &["timed out"],
    );
    bench.sandbox.release_rollouts();
    bench.ok("rollout status deployment/web --timeout=20s").await;
}

const NIGHTLY: &str = r#"
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  schedule: "30 2 * * *"
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers:
          - {name: export, image: "export:1", env: [{name: A, value: "1"}]}
"#;

#[tokio::test]
async fn jobs_are_there_and_do_not_run() {
    let bench = Bench::new().await;
    bench.write("nightly.yaml", NIGHTLY);
    holds(
        &bench.ok("apply -f nightly.yaml").await,
        &["cronjob.batch/nightly created"],
    );
    holds(
        &bench.ok("apply -f nightly.yaml").await,
        &["cronjob.batch/nightly unchanged"],
    );
    bench.write("nightly.yaml", &NIGHTLY.replace("export:1", "export:2"));
    holds(&bench.ok("apply -f nightly.yaml").await, &["configured"]);
    let images = "get cj nightly -o jsonpath={.spec.jobTemplate.spec.template.spec.containers[*].image}";
    assert_eq!(bench.ok(images).await, "export:2");
    holds(
        &bench.ok("get cronjobs").await,
        &["SCHEDULE", "LAST SCHEDULE", "30 2 * * *", "False", "<none>"],
    );
    holds(
        &bench.ok("describe cronjob nightly").await,
        &["Concurrency Policy:", "Allow", "Successful Job History Limit:  3"],
    );
    bench.ok("create cronjob hourly --image=x:1 --schedule=@hourly").await;
    bench.ok("create job once --from=cronjob/nightly").await;
    holds(&bench.ok("get jobs").await, &["once", "Running", "0/1"]);
    holds(&bench.ok("get all").await, &["cronjob.batch/hourly", "job.batch/once"]);
    let label = "get job once -o jsonpath={.metadata.labels.batch\\.kubernetes\\.io/job-name}";
    assert_eq!(bench.ok(label).await, "once");
    holds(
        &bench
            .refused("create job never --image=x:1 --dry-run=server --namespace none")
            .await,
        &["namespaces \"none\" not found"],
    );
    bench.write("nightly.yaml", &NIGHTLY.replace("30 2 * * *", "30 2"));
    holds(
        &bench.refused("apply -f nightly.yaml").await,
        &["spec.schedule: Invalid value: \"30 2\": expected exactly 5 fields, found 2"],
    );
    // The CronJob's own go with it.
    bench.ok("delete cronjob nightly").await;
    assert_eq!(bench.ok("get jobs -o name").await, "");
}

#[tokio::test]
async fn what_surrounds_workloads_is_read_as_what_it_is() {
    let bench = Bench::new().await;
    for (manifest, field, shown) in [
        (
            "{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: x}, spec: {maxUnavailable: 1}}",
            "maxUnavailable",
            "N/A",
        ),
        (
            "{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: x}, spec: {maxReplicas: 9, \
             scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}}",
            "maxReplicas",
            "cpu: <unknown>/80%",
        ),
        (
            "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: x}, spec: {podSelector: {}}}",
            "podSelector",
            "POD-SELECTOR",
        ),
        (
            "{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: x}, value: 7, description: d}",
            "description",
            "PreemptLowerPriority",
        ),
    ] {
        bench.write("x.yaml", manifest);
        bench.ok("apply -f x.yaml").await;
        holds(&bench.ok("apply -f x.yaml").await, &["unchanged"]);
        holds(&bench.ok("get -f x.yaml").await, &[shown]);
        bench.write("x.yaml", &manifest.replace(field, "other"));
        holds(&bench.refused("apply -f x.yaml").await, &["unknown field", "other"]);
    }
}

#[tokio::test]
async fn lists_are_applied_item_by_item() {
    let bench = Bench::new().await;
    let list = |field: &str| {
        format!(
            "{{apiVersion: v1, kind: List, items: [{{apiVersion: v1, kind: ConfigMap, metadata: {{name: a}}, {field}: {{one: two}}}}, \
             {{apiVersion: v1, kind: ConfigMap, metadata: {{name: b}}}}]}}"
        )
    };
    bench.write("list.yaml", &list("data"));
    assert_eq!(
        bench.ok("apply -f list.yaml").await,
        "configmap/a created\nconfigmap/b created\n"
    );
    bench.write("list.yaml", &list("date"));
    holds(&bench.refused("apply -f list.yaml").await, &["unknown field", "date"]);
}

#[tokio::test]
async fn events() {
    let bench = Bench::new().await;
    bench.write(
        "event.yaml",
        r#"
apiVersion: v1
kind: Event
metadata: {name: one, namespace: default}
involvedObject: {apiVersion: v1, kind: ConfigMap, name: settings, namespace: default}
reason: Because
message: it is so
type: Warning
lastTimestamp: "2030-01-01T00:00:00Z"
"#,
    );
    bench.ok("create -f event.yaml").await;
    holds(
        &bench.ok("get events").await,
        &["Warning", "Because", "configmap/settings", "it is so"],
    );
    holds(
        &bench.ok("get events.events.k8s.io -o yaml").await,
        &["note: it is so", "apiVersion: events.k8s.io/v1"],
    );
    holds(&bench.ok("events --for configmap/settings").await, &["it is so"]);
}

#[tokio::test]
async fn documents() {
    let bench = Bench::new().await;
    holds(
        &bench.ok("api-resources").await,
        &["deployments", "deploy", "apps/v1", "true", "Deployment"],
    );
    holds(&bench.ok("api-versions").await, &["apiextensions.k8s.io/v1", "v1"]);
    holds(
        &bench.ok("explain deployment.spec.replicas").await,
        &["FIELD: replicas <integer>"],
    );
    holds(&bench.ok("version").await, &["Server Version: v1."]);
    holds(&bench.ok("get --raw /readyz").await, &["ok"]);
}

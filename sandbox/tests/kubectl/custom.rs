//! Custom resources.

use tokio::io::{AsyncBufReadExt, BufReader};

use super::{Bench, holds};

const DEFINITION: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, kind: Widget, shortNames: [wi], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}
    selectableFields: [{jsonPath: .spec.colour}]
    additionalPrinterColumns:
    - {name: Colour, type: string, jsonPath: .spec.colour}
    - {name: Ready, type: string, jsonPath: '.status.conditions[?(@.type=="Ready")].status'}
    - {name: Size, type: integer, jsonPath: .spec.size, priority: 1}
    schema:
      openAPIV3Schema:
        type: object
        required: [spec]
        properties:
          spec:
            description: What the widget is to be.
            type: object
            required: [colour]
            properties:
              colour:
                description: Its colour, for ever.
                type: string
                enum: [red, blue]
                x-kubernetes-validations:
                - {rule: self == oldSelf, message: the colour cannot be changed}
              size: {type: integer, default: 3, minimum: 1}
              replicas: {type: integer}
          status:
            type: object
            properties:
              replicas: {type: integer}
              conditions:
                type: array
                items:
                  type: object
                  required: [type, status]
                  properties: {type: {type: string}, status: {type: string}}
"#;

fn widget(name: &str, spec: &str) -> String {
    format!("apiVersion: example.com/v1\nkind: Widget\nmetadata: {{name: {name}}}\nspec: {spec}\n")
}

async fn bench() -> Bench {
    let bench = Bench::new().await;
    bench.write("crd.yaml", DEFINITION);
    bench.ok("apply -f crd.yaml").await;
    bench
        .ok("wait crd/widgets.example.com --for=condition=Established --timeout=20s")
        .await;
    bench
}

#[tokio::test]
async fn schema() {
    let bench = bench().await;
    bench.write("a.yaml", &widget("a", "{colour: red}"));
    bench.ok("apply -f a.yaml").await;
    assert_eq!(
        bench
            .ok("get widget a -o jsonpath={.spec.size}:{.metadata.generation}")
            .await,
        "3:1"
    );
    bench.write("a.yaml", &widget("a", "{colour: blue}"));
    holds(
        &bench.refused("apply -f a.yaml").await,
        &[
            "The Widget \"a\" is invalid: spec.colour: Invalid value",
            "the colour cannot be changed",
        ],
    );
    bench.write("b.yaml", &widget("b", "{colour: green}"));
    holds(
        &bench.refused("apply -f b.yaml").await,
        &[
            "The Widget \"b\" is invalid",
            "spec.colour: Unsupported value: \"green\": supported values: \"red\", \"blue\"",
        ],
    );
    bench.write("b.yaml", &widget("b", "{colour: red, siez: 4}"));
    holds(
        &bench.refused("apply -f b.yaml").await,
        &["strict decoding error: unknown field \"spec.siez\""],
    );
    let warned = bench.kubectl.run("apply -f b.yaml --validate=warn".split(' ')).await;
    assert!(warned.success);
    holds(&warned.stderr, &["Warning: unknown field \"spec.siez\""]);
    holds(
        &bench.ok("explain widget.spec.colour").await,
        &["GROUP:      example.com", "Its colour, for ever."],
    );
}

#[tokio::test]
async fn tables_and_selectors() {
    let bench = bench().await;
    bench.write(
        "all.yaml",
        &[widget("a", "{colour: red}"), widget("b", "{colour: blue, size: 7}")].join("---\n"),
    );
    bench.ok("create -f all.yaml").await;
    let status = r#"{"status":{"conditions":[{"type":"Ready","status":"True"}]}}"#;
    bench
        .ok(&format!("patch widget a --subresource=status --type=merge -p {status}"))
        .await;
    let lines: Vec<Vec<String>> = bench
        .ok("get wi")
        .await
        .lines()
        .map(|line| line.split_whitespace().map(str::to_owned).collect())
        .collect();
    assert_eq!(
        lines,
        [
            vec!["NAME", "COLOUR", "READY"],
            vec!["a", "red", "True"],
            vec!["b", "blue"]
        ]
    );
    holds(&bench.ok("get wi -o wide").await, &["SIZE", "7"]);
    assert_eq!(
        bench.ok("get wi --field-selector spec.colour=blue -o name").await,
        "widget.example.com/b\n"
    );
    holds(&bench.ok("get all").await, &["widget.example.com/a"]);
    holds(
        &bench.ok("describe widget a").await,
        &["Colour:  red", "Type:    Ready"],
    );
    bench.ok("wait widget/a --for=condition=Ready --timeout=20s").await;
    bench.ok("scale widget a --replicas=4").await;
    assert_eq!(
        bench
            .ok("get widget a -o jsonpath={.spec.replicas}:{.metadata.generation}")
            .await,
        "4:2"
    );
    holds(
        &bench.ok("api-resources --categories=all -o name").await,
        &["widgets.example.com"],
    );
}

#[tokio::test]
async fn watching() {
    let bench = bench().await;
    let mut watch = bench
        .kubectl
        .command("get widgets -w --output-watch-events -o custom-columns=E:.type,N:.object.metadata.name".split(' '))
        .spawn()
        .expect("kubectl runs");
    let mut lines = BufReader::new(watch.stdout.take().expect("its output")).lines();
    bench.write("a.yaml", &widget("a", "{colour: red}"));
    bench.ok("create -f a.yaml").await;
    bench.ok("label widget a x=y").await;
    bench.ok("delete widget a").await;
    let mut seen = Vec::new();
    while seen.len() < 4 {
        let line = lines.next_line().await.expect("its output").expect("more of it");
        seen.push(line.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    assert_eq!(seen, ["E N", "ADDED a", "MODIFIED a", "DELETED a"]);
    watch.kill().await.expect("it ends");
}

#[tokio::test]
async fn a_definition_takes_its_objects_with_it() {
    let bench = bench().await;
    bench.write("a.yaml", &widget("a", "{colour: red}"));
    bench.ok("create -f a.yaml").await;
    bench.ok("delete crd widgets.example.com --timeout=20s").await;
    holds(
        &bench.refused("get widgets").await,
        &["could not find the requested resource"],
    );
    assert!(!bench.sandbox.dump().iter().any(|object| object["kind"] == "Widget"));
}

#[tokio::test]
async fn a_kind_that_there_is_not_is_told_as_such() {
    let bench = Bench::new().await;
    for (name, version) in [("a.yaml", "example.com/v1"), ("b.yaml", "apps/v1")] {
        bench.write(
            name,
            &format!("apiVersion: {version}\nkind: Gadget\nmetadata: {{name: a}}\n"),
        );
        for verb in ["apply", "create"] {
            let why = bench.refused(&format!("{verb} -f {name}")).await;
            let expected =
                format!("no matches for kind \"Gadget\" in version \"{version}\"\nensure CRDs are installed first");
            holds(&why, &[&expected]);
        }
    }
}

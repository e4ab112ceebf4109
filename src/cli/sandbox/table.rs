//! Tables as `kubectl get` prints them, from the same answer that kubectl asks for.

use http::{Request, header::ACCEPT};
use kube::Client;
use serde_json::Value;

/// The table of what is at `path`, without the columns of `-o wide`.
pub(super) async fn fetch(client: &Client, path: &str) -> kube::Result<String> {
    let request = Request::get(path)
        .header(ACCEPT, "application/json;as=Table;v=v1;g=meta.k8s.io")
        .body(Vec::new())
        .map_err(kube::Error::HttpError)?;
    Ok(render(&client.request(request).await?))
}

fn render(table: &Value) -> String {
    let empty = Vec::new();
    let list = |value: &Value| value.as_array().unwrap_or(&empty).clone();
    let columns = list(&table["columnDefinitions"]);
    let shown: Vec<usize> = (0..columns.len())
        .filter(|&at| columns[at]["priority"].as_i64().unwrap_or(0) == 0)
        .collect();
    let header = shown
        .iter()
        .map(|&at| text(&columns[at]["name"]).to_uppercase())
        .collect();
    let mut lines: Vec<Vec<String>> = vec![header];
    for row in list(&table["rows"]) {
        lines.push(shown.iter().map(|&at| text(&row["cells"][at])).collect());
    }
    align(&lines)
}

/// A cell as kubectl prints it: nothing where there is nothing.
fn text(cell: &Value) -> String {
    match cell {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Columns as wide as their widest cell, three spaces apart.
fn align(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| {
        lines
            .iter()
            .filter_map(|line| line.get(at))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..columns).map(|at| width(at).unwrap_or(0)).collect();
    let mut out = String::new();
    for line in lines {
        let cells: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        out.push_str(cells.join("   ").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_is_aligned_and_leaves_out_what_is_for_wide() {
        let table = json!({
            "columnDefinitions": [{ "name": "Name" }, { "name": "Secret", "priority": 1 }, { "name": "Uses" }, { "name": "Age" }],
            "rows": [{ "cells": ["a", "x", null, "1s"] }, { "cells": ["longer…", "x", 3, "2s"] }],
        });
        assert_eq!(
            render(&table),
            "NAME      USES   AGE\na                1s\nlonger…   3      2s\n"
        );
    }
}

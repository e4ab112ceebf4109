"""Reads queries of Prometheus', for tests: python3 promql.py FOLDER_OF_THE_PARSER, with the queries as a JSON list on
standard input. Prints for each what it asks for, or why it is none, as JSON too."""

import json
import sys

sys.path.insert(0, sys.argv[1])

import promql_parser as promql  # noqa: E402


def series(query):
    """Each selector: its metric, the labels it selects by, and around it functions and the labels that are kept."""
    around, found = [], []

    def enter(expression):
        around.append(expression)
        if isinstance(expression, promql.VectorSelector):
            kept = [it.modifier for it in around if isinstance(it, promql.AggregateExpr)]
            if any(it is not None and it.type != promql.AggModifierType.By for it in kept):
                raise ValueError("a query of these is to say by what it aggregates")
            found.append(
                {
                    "metric": expression.name,
                    "matched": [it.name for it in expression.matchers.matchers],
                    "functions": [it.func.name for it in around if isinstance(it, promql.Call)],
                    "kept": [it.labels if it is not None else [] for it in kept],
                }
            )

    def leave(_):
        around.pop()

    promql.walk(promql.parse(query), enter, leave)
    return found


def answer(query):
    try:
        return {"series": series(query)}
    except ValueError as error:
        return {"error": str(error)}


json.dump([answer(query) for query in json.load(sys.stdin)], sys.stdout)

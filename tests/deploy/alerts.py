"""Evaluates queries of Prometheus' on hand-made series, for tests: python3 alerts.py FOLDER_OF_THE_PARSER, with the queries
and worlds as JSON on standard input. A world is a list of series: metric, labels, and values, the last of which is of now and
each of a minute after the one before. Prints for each world what each query comes to, as JSON too. It knows what the alerts
use, and fails at the rest; an increase is what was counted, where Prometheus reckons up to the ends of the time."""

import json
import operator
import sys

sys.path.insert(0, sys.argv[1])

import promql_parser as promql  # noqa: E402

COMPARISONS = {">": operator.gt, "<": operator.lt, "==": operator.eq, "!=": operator.ne}


def selected(selector, world):
    for it in selector.matchers.matchers:
        if it.op != promql.MatchOp.Equal:
            raise ValueError("only = selects here")
    for series in world:
        matched = all(series["labels"].get(it.name) == it.value for it in selector.matchers.matchers)
        if series["metric"] == selector.name and matched:
            yield series


def increase(selector, world):
    minutes = int(selector.range.total_seconds() // 60)
    for series in selected(selector.vector_selector, world):
        values = series["values"][-minutes - 1 :]
        if len(values) > 1:
            # A count that falls began anew.
            yield series["labels"], sum(b - a if b >= a else b for a, b in zip(values, values[1:]))


def call(expression, world):
    (argument,) = expression.args
    if expression.func.name == "increase":
        return list(increase(argument, world))
    if expression.func.name == "absent":
        return [] if vector(argument, world) else [({}, 1)]
    raise ValueError(f"{expression.func.name} is not known here")


def binary(expression, world):
    op, left = str(expression.op), vector(expression.lhs, world)
    if op in COMPARISONS and isinstance(expression.rhs, promql.NumberLiteral):
        return [it for it in left if COMPARISONS[op](it[1], expression.rhs.val)]
    if op == "+":
        right = vector(expression.rhs, world)
        return [(labels, a + b) for labels, a in left for others, b in right if labels == others]
    raise ValueError(f"{op} is not known here")


def vector(expression, world):
    if isinstance(expression, promql.VectorSelector):
        return [(series["labels"], series["values"][-1]) for series in selected(expression, world)]
    if isinstance(expression, promql.Call):
        return call(expression, world)
    if isinstance(expression, promql.BinaryExpr):
        return binary(expression, world)
    if isinstance(expression, promql.AggregateExpr) and str(expression.op) == "sum" and expression.modifier is None:
        values = [value for _, value in vector(expression.expr, world)]
        return [({}, sum(values))] if values else []
    raise ValueError(f"{type(expression).__name__} is not known here")


wanted = json.load(sys.stdin)
parsed = [promql.parse(query) for query in wanted["queries"]]
json.dump([[vector(query, world) for query in parsed] for world in wanted["worlds"]], sys.stdout)

"""MLflow's GraphQL, which its UI reads experiments and runs with: queries pass, mutations don't."""

from __future__ import annotations

import json

from graphql import GraphQLError, OperationDefinitionNode, OperationType, parse

from imprimatur.core.errors import BadInput, Refused

PATH = "/graphql"
LARGEST = 64 << 10


def check_query(body: bytes) -> None:
    """Raise BadInput ``bad-query`` for what is no GraphQL request, Refused ``mutation`` for more than a query."""
    try:
        document = json.loads(body)
        definitions = parse(document["query"], max_tokens=2000).definitions
    except (ValueError, TypeError, KeyError, RecursionError, GraphQLError) as error:
        raise BadInput("bad-query", f"This is no GraphQL request: {error} (expected JSON with a `query`)") from error
    operations = [node for node in definitions if isinstance(node, OperationDefinitionNode)]
    if any(node.operation is not OperationType.QUERY for node in operations):
        raise Refused("mutation", "GraphQL may only read here (got a mutation or subscription, expected queries)")

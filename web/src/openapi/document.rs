//! The document as a whole.

use super::doc::{Doc, MayBe, Parameter, Schemas};
use crate::route::{Access, Route};
use serde_json::{Map, Value, json};

fn parameters(route: &Route, doc: &Doc) -> Vec<Value> {
    let path = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let path = path.map(|name| {
        let words = doc.path.filter(|(part, _)| *part == name);
        let schema = words.map_or_else(|| MayBe::Text.schema(), |(_, shape)| shape.reference());
        json!({"name": name, "in": "path", "required": true, "schema": schema})
    });
    let query = doc.query.iter().map(|parameter| {
        let Parameter { name, what, may_be } = parameter;
        json!({"name": name, "in": "query", "description": what, "schema": may_be.schema()})
    });
    path.chain(query).collect()
}

fn operation(route: &Route, doc: &Doc) -> Value {
    let whom = match route.access {
        Access::Open => "everybody".to_owned(),
        Access::SignedIn => "a browser session".to_owned(),
        Access::Scope(scope) => {
            format!("the role {}, or a token with the scope {}", scope.role().as_str(), scope.as_str())
        }
    };
    let mut operation = json!({
        "tags": [doc.tag],
        "summary": doc.summary,
        "description": format!("For {whom}."),
        "parameters": parameters(route, doc),
        "responses": doc.responses(),
    });
    if let Some(body) = doc.body {
        operation["requestBody"] = json!({"required": !doc.body_is_optional, "content": {"application/json": {"schema": body.reference()}}});
    }
    if route.access == Access::Open {
        operation["security"] = json!([]);
    }
    operation
}

/// The whole document.
pub(crate) fn document(routes: &[Route], version: &str) -> Value {
    let mut paths = Map::new();
    let mut schemas: Schemas = Vec::new();
    for route in routes {
        let Some(doc) = &route.doc else { continue };
        for shape in doc.shapes() {
            (shape.collect)(&mut schemas);
        }
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.as_str().to_ascii_lowercase()] = operation(route, doc);
    }
    let mut components: Map<String, Value> = schemas
        .into_iter()
        .filter_map(|(name, schema)| Some((name, serde_json::to_value(schema).ok()?)))
        .collect();
    components.insert(
        "Error".to_owned(),
        json!({
            "type": "object",
            "required": ["error"],
            "properties": {"error": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {
                    "code": {"type": "string"},
                    "message": {"type": "string"},
                    "field": {"type": "string"},
                },
            }},
        }),
    );
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Holdfast",
            "version": version,
            "description": "Times are RFC 3339 in UTC, sizes are bytes, ids are text. A server that only reads says so in a header of each \
                answer, `Holdfast-Only-Reads`: `damaged` or `superseded` (another server has its place). Then it hears of nothing any \
                more, and what it says of hosts, jobs and incidents is what it knew last.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "holdfast"},
            },
        },
        "security": [{"token": []}, {"session": []}],
    })
}

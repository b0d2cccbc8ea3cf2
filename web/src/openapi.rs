//! The OpenAPI document: written from the route table and from the types of the bodies, so that it can't lag behind.

use crate::app::Ctx;
use crate::route::{Access, Route};
use axum::Json;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

type Schemas = Vec<(String, RefOr<Schema>)>;

/// A body type: its name and its schemas.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    name: fn() -> String,
    collect: fn(&mut Schemas),
}

impl Shape {
    fn of<T: ToSchema>() -> Self {
        Self {
            name: || T::name().into_owned(),
            collect: |schemas| {
                schemas.push((T::name().into_owned(), T::schema()));
                T::schemas(schemas);
            },
        }
    }

    fn reference(self) -> Value {
        json!({"$ref": format!("#/components/schemas/{}", (self.name)())})
    }
}

/// How an answer holds its type.
#[derive(Clone, Copy)]
enum Answer {
    Empty,
    /// Of this content type, without a schema.
    Other(&'static str),
    One(u16, Shape),
    List(Shape),
}

/// What a parameter may be.
#[derive(Clone, Copy)]
enum MayBe {
    Text,
    Time,
    Boolean,
    /// A whole number from here to there.
    Number(u32, u32),
    Word(Shape),
}

/// A parameter of the query.
struct Parameter {
    name: &'static str,
    what: &'static str,
    may_be: MayBe,
}

/// What the document says of one route.
pub(crate) struct Doc {
    tag: &'static str,
    summary: &'static str,
    /// Words that a part of the address may be.
    path: Option<(&'static str, Shape)>,
    query: Vec<Parameter>,
    body: Option<Shape>,
    body_is_optional: bool,
    answer: Answer,
    /// The answer can also be had as plain text.
    plain: bool,
}

impl Doc {
    pub(crate) fn new(tag: &'static str, summary: &'static str) -> Self {
        let answer = Answer::Other("application/json");
        Self {
            tag,
            summary,
            path: None,
            query: Vec::new(),
            body: None,
            body_is_optional: false,
            answer,
            plain: false,
        }
    }

    fn parameter(mut self, name: &'static str, what: &'static str, may_be: MayBe) -> Self {
        self.query.push(Parameter { name, what, may_be });
        self
    }

    /// A parameter that is any text.
    pub(crate) fn query(self, name: &'static str, what: &'static str) -> Self {
        self.parameter(name, what, MayBe::Text)
    }

    /// One that is a time.
    pub(crate) fn query_time(self, name: &'static str, what: &'static str) -> Self {
        self.parameter(name, what, MayBe::Time)
    }

    /// One that is true or false.
    pub(crate) fn query_boolean(self, name: &'static str, what: &'static str) -> Self {
        self.parameter(name, what, MayBe::Boolean)
    }

    /// One that is a whole number in these bounds.
    pub(crate) fn query_number(self, name: &'static str, what: &'static str, from: u32, to: u32) -> Self {
        self.parameter(name, what, MayBe::Number(from, to))
    }

    /// One of certain words.
    pub(crate) fn query_word<T: ToSchema>(self, name: &'static str, what: &'static str) -> Self {
        self.parameter(name, what, MayBe::Word(Shape::of::<T>()))
    }

    /// A part of the address is one of certain words.
    pub(crate) fn path_word<T: ToSchema>(mut self, name: &'static str) -> Self {
        self.path = Some((name, Shape::of::<T>()));
        self
    }

    /// An answer of another content type.
    pub(crate) fn answers_as(mut self, content_type: &'static str) -> Self {
        self.answer = Answer::Other(content_type);
        self
    }

    /// The answer can also be had as plain text.
    pub(crate) fn or_plain(mut self) -> Self {
        self.plain = true;
        self
    }

    pub(crate) fn takes<T: ToSchema>(mut self) -> Self {
        self.body = Some(Shape::of::<T>());
        self
    }

    /// A body that may be left out.
    pub(crate) fn may_take<T: ToSchema>(mut self) -> Self {
        self.body_is_optional = true;
        self.takes::<T>()
    }

    pub(crate) fn answers<T: ToSchema>(mut self, status: u16) -> Self {
        self.answer = Answer::One(status, Shape::of::<T>());
        self
    }

    /// A list that is always whole.
    pub(crate) fn lists<T: ToSchema>(mut self) -> Self {
        self.answer = Answer::List(Shape::of::<T>());
        self
    }

    /// A list in parts.
    pub(crate) fn paged<T: ToSchema>(self) -> Self {
        self.in_parts().lists::<T>()
    }

    /// What is answered is one part of a list, and says more beside it.
    pub(crate) fn in_parts(self) -> Self {
        self.query_number("limit", "at most so many items; 50 without it", 1, 500)
            .query("cursor", "`next` of the part before")
    }

    pub(crate) fn empty(mut self) -> Self {
        self.answer = Answer::Empty;
        self
    }

    /// The parameters of the query.
    pub(crate) fn parameters(&self) -> Vec<&'static str> {
        self.query.iter().map(|parameter| parameter.name).collect()
    }

    fn shapes(&self) -> impl Iterator<Item = Shape> {
        let answer = match self.answer {
            Answer::One(_, shape) | Answer::List(shape) => Some(shape),
            Answer::Empty | Answer::Other(_) => None,
        };
        let words = self.query.iter().filter_map(|parameter| match parameter.may_be {
            MayBe::Word(shape) => Some(shape),
            _ => None,
        });
        let path = self.path.map(|(_, shape)| shape);
        self.body.into_iter().chain(answer).chain(words).chain(path)
    }

    fn responses(&self) -> Value {
        let content = |schema: &Value| json!({"application/json": {"schema": schema}});
        let (status, mut answer) = match self.answer {
            Answer::Empty => ("204".to_owned(), json!({"description": "Done"})),
            Answer::Other(kind) => ("200".to_owned(), json!({"description": "Ok", "content": {(kind): {}}})),
            Answer::One(status, shape) => {
                (status.to_string(), json!({"description": "Ok", "content": content(&shape.reference())}))
            }
            Answer::List(shape) => {
                let list = json!({
                    "type": "object",
                    "required": ["items", "next"],
                    "properties": {
                        "items": {"type": "array", "items": shape.reference()},
                        "next": {"type": ["string", "null"]},
                    },
                });
                ("200".to_owned(), json!({"description": "Ok", "content": content(&list)}))
            }
        };
        if self.plain {
            answer["content"]["text/plain"] = json!({"schema": {"type": "string"}});
        }
        let error = json!({
            "description": "Refused",
            "content": content(&json!({"$ref": "#/components/schemas/Error"})),
        });
        json!({ (status): answer, "default": error })
    }
}

impl MayBe {
    fn schema(self) -> Value {
        match self {
            Self::Text => json!({"type": "string"}),
            Self::Time => json!({"type": "string", "format": "date-time"}),
            Self::Boolean => json!({"type": "boolean"}),
            Self::Number(from, to) => json!({"type": "integer", "minimum": from, "maximum": to}),
            Self::Word(shape) => shape.reference(),
        }
    }
}

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
            "description": "Times are RFC 3339 in UTC, sizes are bytes, ids are text.",
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

/// `GET /api/openapi.json`.
pub(crate) async fn serve(ctx: Ctx) -> Json<Value> {
    Json(document(&crate::route::table(), &ctx.app.settings.server.version))
}

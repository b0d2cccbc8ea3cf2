//! What the document says of one route.

use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

pub(super) type Schemas = Vec<(String, RefOr<Schema>)>;

/// A body type: its name and its schemas.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    name: fn() -> String,
    pub(super) collect: fn(&mut Schemas),
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

    pub(super) fn reference(self) -> Value {
        json!({"$ref": format!("#/components/schemas/{}", (self.name)())})
    }
}

/// How an answer holds its type.
#[derive(Clone, Copy)]
enum AnswerBody {
    Empty,
    /// Of this content type, without a schema.
    Other(&'static str),
    One(u16, Shape),
    List(Shape),
}

/// What a parameter may be.
#[derive(Clone, Copy)]
pub(super) enum MayBe {
    Text,
    Time,
    Boolean,
    /// A whole number from here to there.
    Number(u32, u32),
    Word(Shape),
}

/// A parameter of the query.
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    pub(super) may_be: MayBe,
}

/// What the document says of one route.
pub(crate) struct Doc {
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    /// Words that a part of the address may be.
    pub(super) path: Option<(&'static str, Shape)>,
    pub(super) query: Vec<Parameter>,
    pub(super) body: Option<Shape>,
    pub(super) body_is_optional: bool,
    answer: AnswerBody,
    /// The answer can also be had as plain text.
    plain: bool,
}

impl Doc {
    pub(crate) fn new(tag: &'static str, summary: &'static str) -> Self {
        let answer = AnswerBody::Other("application/json");
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
        self.answer = AnswerBody::Other(content_type);
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
        self.answer = AnswerBody::One(status, Shape::of::<T>());
        self
    }

    /// A list that is always whole.
    pub(crate) fn lists<T: ToSchema>(mut self) -> Self {
        self.answer = AnswerBody::List(Shape::of::<T>());
        self
    }

    /// It answers with a list that is read in parts (`limit`, `cursor`).
    pub(crate) fn paged<T: ToSchema>(self) -> Self {
        self.in_parts().lists::<T>()
    }

    /// What is answered is one part of a list, and says more beside it.
    pub(crate) fn in_parts(self) -> Self {
        self.query_number("limit", "at most so many items; 50 without it", 1, 500)
            .query("cursor", "`next` of the previous page")
    }

    pub(crate) fn empty(mut self) -> Self {
        self.answer = AnswerBody::Empty;
        self
    }

    /// The parameters of the query.
    pub(crate) fn parameters(&self) -> Vec<&'static str> {
        self.query.iter().map(|parameter| parameter.name).collect()
    }

    pub(super) fn shapes(&self) -> impl Iterator<Item = Shape> {
        let answer = match self.answer {
            AnswerBody::One(_, shape) | AnswerBody::List(shape) => Some(shape),
            AnswerBody::Empty | AnswerBody::Other(_) => None,
        };
        let words = self.query.iter().filter_map(|parameter| match parameter.may_be {
            MayBe::Word(shape) => Some(shape),
            _ => None,
        });
        let path = self.path.map(|(_, shape)| shape);
        self.body.into_iter().chain(answer).chain(words).chain(path)
    }

    pub(super) fn responses(&self) -> Value {
        let content = |schema: &Value| json!({"application/json": {"schema": schema}});
        let (status, mut answer) = match self.answer {
            AnswerBody::Empty => ("204".to_owned(), json!({"description": "Done"})),
            AnswerBody::Other(kind) => {
                ("200".to_owned(), json!({"description": "Ok", "content": {(kind): {}}}))
            }
            AnswerBody::One(status, shape) => {
                (status.to_string(), json!({"description": "Ok", "content": content(&shape.reference())}))
            }
            AnswerBody::List(shape) => {
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
    pub(super) fn schema(self) -> Value {
        match self {
            Self::Text => json!({"type": "string"}),
            Self::Time => json!({"type": "string", "format": "date-time"}),
            Self::Boolean => json!({"type": "boolean"}),
            Self::Number(from, to) => json!({"type": "integer", "minimum": from, "maximum": to}),
            Self::Word(shape) => shape.reference(),
        }
    }
}

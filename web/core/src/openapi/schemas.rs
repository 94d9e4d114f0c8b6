//! Schemas of what is sent and answered, from the types that are read and written.

use serde_json::{Map, Value};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

use super::operation::schema;
use crate::answer::List;
use crate::view::task::TaskView;

pub fn list_of(name: &str) -> Value {
    // Any type of items will do: it is replaced.
    let mut list = json_of(List::<TaskView<'_>>::schema());
    list["properties"]["items"]["items"] = schema(name);
    list
}

#[derive(Debug, Default)]
pub struct SchemaRegistry(Map<String, Value>);

impl SchemaRegistry {
    /// A type, and those that it refers to.
    pub fn add<T: ToSchema>(&mut self) -> &mut Self {
        let mut found = vec![(T::name().into_owned(), T::schema())];
        T::schemas(&mut found);
        for (name, schema) in found {
            self.name(&name, schema);
        }
        self
    }

    pub fn name(&mut self, name: &str, schema: impl Into<RefOr<Schema>>) {
        self.0.insert(name.to_owned(), json_of(schema));
    }

    pub fn into_json(self) -> Value {
        Value::Object(self.0)
    }
}

/// A schema as JSON.
pub fn json_of(schema: impl Into<RefOr<Schema>>) -> Value {
    let mut json = serde_json::to_value(schema.into()).unwrap_or_default();
    // utoipa writes an `allOf` for what serde flattens into one object.
    flatten_parts(&mut json);
    json
}

fn flatten_parts(json: &mut Value) {
    match json {
        Value::Array(items) => items.iter_mut().for_each(flatten_parts),
        Value::Object(members) => {
            members.values_mut().for_each(flatten_parts);
            let Some(Value::Array(parts)) = members.remove("allOf") else { return };
            for part in parts {
                merge_json(json, part);
            }
        }
        _ => {}
    }
}

fn merge_json(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                merge_json(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(from)) => into.extend(from),
        (into @ Value::Null, from) => *into = from,
        _ => {}
    }
}

//! Schemas of what is sent and answered, from the types that are read and written.

use serde_json::{Map, Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

use super::values::any_of;
use crate::answer::{List, LookedList};
use crate::view::task::TaskView;

/// The schemas that a description refers to, by name.
#[derive(Debug, Clone, Default)]
pub struct SchemaRegistry(Map<String, Value>);

impl SchemaRegistry {
    /// Refers to a type, which is added with those that it refers to itself.
    pub fn one<T: ToSchema>(&mut self) -> Value {
        let mut found = vec![(T::name().into_owned(), T::schema())];
        T::schemas(&mut found);
        self.0.extend(found.into_iter().map(|(name, schema)| (name, json_of(schema))));
        reference_to::<T>()
    }

    /// A page of a list.
    pub fn list<T: ToSchema>(&mut self) -> Value {
        // Any type of items will do: it is replaced.
        let mut list = json_of(List::<TaskView<'_>>::schema());
        list["properties"]["items"]["items"] = self.one::<T>();
        list
    }

    /// One, or a page of a list.
    pub fn one_or_list<T: ToSchema>(&mut self) -> Value {
        any_of([self.one::<T>(), self.list::<T>()])
    }

    /// A page of a list that says how far it came.
    pub fn looked_list<T: ToSchema>(&mut self) -> Value {
        let mut list = json_of(LookedList::<TaskView<'_>>::schema());
        list["properties"]["items"]["items"] = self.one::<T>();
        self.named(&format!("{}List", T::name()), list)
    }

    /// Refers to a schema by a name that it gets.
    pub fn named(&mut self, name: &str, schema: Value) -> Value {
        self.0.insert(name.to_owned(), schema);
        reference(name)
    }

    pub fn into_json(self) -> Value {
        Value::Object(self.0)
    }
}

pub(super) fn reference_to<T: ToSchema>() -> Value {
    reference(&T::name())
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_are_flattened_become_one_object() {
        let mut schema = json!({"allOf": [
            {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}},
            {"required": ["b"], "properties": {"b": {"allOf": [{"type": "integer"}, {"minimum": 1}]}}},
        ]});
        flatten_parts(&mut schema);
        let properties = json!({"a": {"type": "string"}, "b": {"type": "integer", "minimum": 1}});
        assert_eq!(schema, json!({"type": "object", "required": ["a", "b"], "properties": properties}));
    }

    #[test]
    fn a_list_refers_to_its_items_and_brings_them_along() {
        let mut all = SchemaRegistry::default();
        let list = all.looked_list::<TaskView<'_>>();
        assert_eq!(list, json!({"$ref": "#/components/schemas/TaskList"}));
        let either = all.one_or_list::<TaskView<'_>>();
        let task = json!({"$ref": "#/components/schemas/Task"});
        assert_eq!((&either["anyOf"][0], &either["anyOf"][1]["properties"]["items"]["items"]), (&task, &task));
        let all = all.into_json();
        let names: Vec<_> = all.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, ["Task", "TaskList"]);
        assert_eq!(all["TaskList"]["properties"]["items"]["items"], task);
        assert!(all["TaskList"]["properties"]["looked_until"].is_object());
    }
}

//! Variables, and the arguments of a field, checked against the schema.

use std::collections::BTreeMap;

use graphql_parser::query::{Field, VariableDefinition};
use serde_json::{Map, Value, json};

use super::document::{Layout, locations};

impl Layout<'_> {
    /// Takes the values of variables, as given or by default.
    pub(super) fn declare(&mut self, declared: &[VariableDefinition<'_, String>], given: &Value) {
        for variable in declared {
            let mut value = given[&variable.name].clone();
            if value.is_null()
                && let Some(default) = &variable.default_value
            {
                value = self.value(default, &[], variable.position).unwrap_or_default();
            }
            let of = variable.var_type.to_string();
            if !fits(&of, &value) {
                let message = format!(
                    "Variable ${} of type {of} was provided invalid value",
                    variable.name
                );
                self.errors.push(json!({
                    "extensions": {"value": value, "problems": [{"path": [], "explanation": "Expected value to not be null"}]},
                    "locations": locations(variable.position), "message": message,
                }));
            }
            self.variables.insert(variable.name.clone(), value);
        }
    }

    /// A field's arguments with their values, without those that are null.
    pub(super) fn arguments(
        &mut self,
        field: &Field<'_, String>,
        known: Option<&BTreeMap<String, String>>,
        path: &[String],
    ) -> Map<String, Value> {
        let (name, at) = (&field.name, field.position);
        let none = BTreeMap::new();
        let known = known.unwrap_or(&none);
        let mut arguments = Map::new();
        for (argument, literal) in &field.arguments {
            let Some(of) = known.get(argument) else {
                let message = format!("Field '{name}' doesn't accept argument '{argument}'");
                let more = json!({"name": name, "typeName": "Field", "argumentName": argument});
                self.refuse(&message, "argumentNotAccepted", path, at, &more);
                continue;
            };
            let Some(value) = self.value(literal, path, at) else {
                continue;
            };
            if !fits(of, &value) {
                let message = format!(
                    "Argument '{argument}' on Field '{name}' has an invalid value ({value}). Expected type '{of}'."
                );
                let more = json!({"typeName": "Field", "argumentName": argument});
                self.refuse(&message, "argumentLiteralsIncompatible", path, at, &more);
            }
            if !value.is_null() {
                arguments.insert(argument.clone(), value);
            }
        }
        let is_given = |name: &String| field.arguments.iter().any(|(given, _)| given == name);
        let missing: Vec<&str> = known
            .iter()
            .filter(|(name, of)| of.ends_with('!') && !is_given(name))
            .map(|(name, _)| name.as_str())
            .collect();
        if !missing.is_empty() {
            let missing = missing.join(", ");
            let message = format!("Field '{name}' is missing required arguments: {missing}");
            let more = json!({"className": "Field", "name": name, "arguments": missing});
            self.refuse(&message, "missingRequiredArguments", path, at, &more);
        }
        arguments
    }
}

/// Whether a value is of a type. GitHub takes no number for a text and no text for a number.
pub(super) fn fits(of: &str, value: &Value) -> bool {
    match (of.trim_end_matches('!'), value) {
        (_, Value::Null) => !of.ends_with('!'),
        ("Int", value) => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        ("Boolean", value) => value.is_boolean(),
        ("String", value) => value.is_string(),
        _ => true,
    }
}

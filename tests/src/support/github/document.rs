//! A GraphQL document, checked against the schema and laid out: fragments in their places, variables filled in.

use std::collections::{BTreeMap, BTreeSet};

use graphql_parser::query::{
    Definition, Directive, Field, FragmentDefinition, OperationDefinition, Selection, SelectionSet,
    TypeCondition, Value as Literal, VariableDefinition,
};
use graphql_parser::{Pos, parse_query};
use serde_json::{Map, Value, json};

use super::schema::SCHEMA;

/// What one request asks for.
pub(super) struct Asked {
    /// The operation's name, if it has one.
    pub(super) operation: Option<String>,
    /// The fields of `Query`.
    pub(super) chosen: Vec<Chosen>,
}

/// A field that is asked for.
pub(super) struct Chosen {
    /// Its place in the answer: the alias, else the name.
    pub(super) key: String,
    /// Its name.
    pub(super) name: String,
    /// The name of its type.
    pub(super) of: String,
    /// Only objects of this type have it: it stood under `... on X`.
    pub(super) only: Option<String>,
    /// Its arguments, without those that are null.
    pub(super) arguments: Map<String, Value>,
    /// What is asked of its value.
    pub(super) chosen: Vec<Chosen>,
    /// Where it stands in the document.
    pub(super) at: Pos,
}

impl Chosen {
    /// Whether it is a list with pages, which is what GitHub counts.
    pub(super) fn is_connection(&self) -> bool {
        self.of.ends_with("Connection")
    }

    /// The size of its page.
    pub(super) fn page(&self) -> Option<i64> {
        let first = self.arguments.get("first").and_then(Value::as_i64);
        first.or_else(|| self.arguments.get("last").and_then(Value::as_i64))
    }

    /// The numbers of the pull requests that are asked for in it.
    pub(super) fn pulls(&self) -> Vec<u64> {
        let own = (self.of == "PullRequest").then(|| self.arguments["number"].as_u64().unwrap_or_default());
        own.into_iter()
            .chain(self.chosen.iter().flat_map(Self::pulls))
            .collect()
    }

    /// Where it stands, as an error says it.
    pub(super) fn locations(&self) -> Value {
        locations(self.at)
    }
}

pub(super) fn locations(at: Pos) -> Value {
    json!([{"line": at.line, "column": at.column}])
}

/// Reads a document.
///
/// # Errors
/// The entries of `errors`, as GitHub words them, when the document is none or does not fit the schema.
pub(super) fn read(query: &str, variables: &Value, operation: Option<&str>) -> Result<Asked, Vec<Value>> {
    let document = parse_query::<String>(query).map_err(|error| {
        let message = format!("Parse error on {:?}", error.to_string());
        vec![json!({"message": message, "locations": [{"line": 1, "column": 1}]})]
    })?;
    let (mut operations, mut fragments) = (Vec::new(), BTreeMap::new());
    for definition in document.definitions {
        match definition {
            Definition::Operation(operation) => operations.push(operation),
            Definition::Fragment(fragment) => {
                fragments.insert(fragment.name.clone(), fragment);
            }
        }
    }
    let operations: Vec<_> = operations.into_iter().map(parts).collect::<Result<_, _>>()?;
    let wanted = |(name, ..): &&(Option<String>, _, _)| operation.is_none() || name.as_deref() == operation;
    let Some((name, declared, selected)) = operations.iter().find(wanted) else {
        let message = "An operation name is required or does not exist";
        return Err(vec![json!({"message": message})]);
    };
    let mut layout = Layout {
        variables: BTreeMap::new(),
        used: BTreeSet::new(),
        spread: BTreeSet::new(),
        fragments: &fragments,
        errors: Vec::new(),
    };
    layout.declare(declared, variables);
    let start = name
        .as_ref()
        .map_or("query".to_owned(), |name| format!("query {name}"));
    let mut chosen = Vec::new();
    layout.select(selected, "Query", None, &mut vec![start.clone()], &mut chosen);
    for variable in declared {
        if !layout.used.contains(&variable.name) {
            let message = format!("Variable ${} is declared by {start} but not used", variable.name);
            layout.refuse(
                &message,
                "variableNotUsed",
                std::slice::from_ref(&start),
                variable.position,
                &json!({}),
            );
        }
    }
    for fragment in fragments.values() {
        if !layout.spread.contains(&fragment.name) {
            let message = format!("Fragment {} was defined, but not used", fragment.name);
            let path = [format!("fragment {}", fragment.name)];
            layout.refuse(
                &message,
                "useAndDefineFragment",
                &path,
                fragment.position,
                &json!({}),
            );
        }
    }
    if layout.errors.is_empty() {
        let operation = name.clone();
        Ok(Asked { operation, chosen })
    } else {
        Err(layout.errors)
    }
}

type Parts<'a> = (
    Option<String>,
    Vec<VariableDefinition<'a, String>>,
    SelectionSet<'a, String>,
);

fn parts(operation: OperationDefinition<'_, String>) -> Result<Parts<'_>, Vec<Value>> {
    match operation {
        OperationDefinition::SelectionSet(selected) => Ok((None, Vec::new(), selected)),
        OperationDefinition::Query(query) => {
            Ok((query.name, query.variable_definitions, query.selection_set))
        }
        OperationDefinition::Mutation(_) | OperationDefinition::Subscription(_) => {
            Err(vec![json!({"message": "The stand-in answers queries only"})])
        }
    }
}

/// A document on its way into the shape that is answered.
pub(super) struct Layout<'a> {
    pub(super) variables: BTreeMap<String, Value>,
    used: BTreeSet<String>,
    spread: BTreeSet<String>,
    fragments: &'a BTreeMap<String, FragmentDefinition<'a, String>>,
    pub(super) errors: Vec<Value>,
}

impl Layout<'_> {
    pub(super) fn refuse(&mut self, message: &str, code: &str, path: &[String], at: Pos, more: &Value) {
        let mut extensions = json!({"code": code});
        for (key, value) in more.as_object().into_iter().flatten() {
            extensions[key] = value.clone();
        }
        self.errors.push(json!({
            "path": path, "extensions": extensions, "locations": locations(at), "message": message,
        }));
    }

    /// A literal's value; `None` and an error when it names a variable that nobody declared.
    pub(super) fn value(&mut self, literal: &Literal<'_, String>, path: &[String], at: Pos) -> Option<Value> {
        Some(match literal {
            Literal::Variable(name) => {
                self.used.insert(name.clone());
                let Some(value) = self.variables.get(name) else {
                    let start = path.first().cloned().unwrap_or_default();
                    let message = format!("Variable ${name} is used by {start} but not declared");
                    self.refuse(&message, "variableNotDefined", path, at, &json!({}));
                    return None;
                };
                value.clone()
            }
            Literal::Int(number) => json!(number.as_i64()),
            Literal::Float(number) => json!(number),
            Literal::String(text) | Literal::Enum(text) => json!(text),
            Literal::Boolean(truth) => json!(truth),
            Literal::Null => Value::Null,
            Literal::List(all) => all.iter().filter_map(|one| self.value(one, path, at)).collect(),
            Literal::Object(_) => Value::Null,
        })
    }

    /// Whether `@include` and `@skip` leave it in.
    fn stays(&mut self, directives: &[Directive<'_, String>], path: &[String]) -> bool {
        directives.iter().all(|directive| {
            let condition = directive.arguments.iter().find(|(name, _)| name == "if");
            let condition = condition.and_then(|(_, value)| self.value(value, path, directive.position));
            let holds = condition == Some(Value::Bool(true));
            match directive.name.as_str() {
                "include" => holds,
                "skip" => !holds,
                _ => true,
            }
        })
    }

    fn select(
        &mut self,
        selected: &SelectionSet<'_, String>,
        of: &str,
        only: Option<&str>,
        path: &mut Vec<String>,
        chosen: &mut Vec<Chosen>,
    ) {
        for item in &selected.items {
            match item {
                Selection::Field(field) => {
                    if self.stays(&field.directives, path) {
                        path.push(field.alias.as_ref().unwrap_or(&field.name).clone());
                        self.field(field, of, only, path, chosen);
                        path.pop();
                    }
                }
                Selection::InlineFragment(fragment) => {
                    let on = fragment.type_condition.as_ref();
                    let on = on.map_or(of.to_owned(), |TypeCondition::On(on)| on.clone());
                    if self.stays(&fragment.directives, path) {
                        self.narrow(
                            &fragment.selection_set,
                            of,
                            &on,
                            only,
                            fragment.position,
                            path,
                            chosen,
                        );
                    }
                }
                Selection::FragmentSpread(spread) => {
                    self.spread.insert(spread.fragment_name.clone());
                    let Some(fragment) = self.fragments.get(&spread.fragment_name) else {
                        let name = &spread.fragment_name;
                        let message = format!("Fragment {name} was used, but not defined");
                        self.refuse(
                            &message,
                            "useAndDefineFragment",
                            path,
                            spread.position,
                            &json!({}),
                        );
                        continue;
                    };
                    // Its own path would grow without end if it held itself.
                    if path.len() > 40 {
                        let message = format!("Fragment {} contains an infinite loop", fragment.name);
                        self.refuse(&message, "infiniteLoop", path, spread.position, &json!({}));
                        continue;
                    }
                    let TypeCondition::On(on) = &fragment.type_condition;
                    if self.stays(&spread.directives, path) {
                        path.push(format!("fragment {}", fragment.name));
                        self.narrow(
                            &fragment.selection_set,
                            of,
                            on,
                            only,
                            fragment.position,
                            path,
                            chosen,
                        );
                        path.pop();
                    }
                }
            }
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "a fragment is a place, a type and what holds there"
    )]
    fn narrow(
        &mut self,
        selected: &SelectionSet<'_, String>,
        of: &str,
        on: &str,
        only: Option<&str>,
        at: Pos,
        path: &mut Vec<String>,
        chosen: &mut Vec<Chosen>,
    ) {
        if !SCHEMA.has_fields(on) {
            let message = format!("No such type {on}, so it can't be a fragment condition");
            self.refuse(&message, "undefinedType", path, at, &json!({"typeName": on}));
        } else if SCHEMA.can_be(of, on) {
            let narrower = (of != on && !SCHEMA.is_abstract(on)).then_some(on);
            self.select(selected, on, narrower.or(only), path, chosen);
        } else {
            let message = format!("Fragment on {on} can't be spread inside {of}");
            let more = json!({"typeName": on, "parentName": of});
            self.refuse(&message, "cannotSpreadFragment", path, at, &more);
        }
    }

    fn field(
        &mut self,
        field: &Field<'_, String>,
        of: &str,
        only: Option<&str>,
        path: &mut Vec<String>,
        chosen: &mut Vec<Chosen>,
    ) {
        let (name, at) = (&field.name, field.position);
        let key = field.alias.as_ref().unwrap_or(name).clone();
        let known = SCHEMA.field(of, name);
        if name != "__typename" && known.is_none() {
            let message = format!("Field '{name}' doesn't exist on type '{of}'");
            let more = json!({"typeName": of, "fieldName": name});
            return self.refuse(&message, "undefinedField", path, at, &more);
        }
        let arguments = self.arguments(field, known.map(|known| &known.arguments), path);
        let value = known.map_or("String", |known| known.of.as_str());
        let is_bare = field.selection_set.items.is_empty();
        if SCHEMA.has_fields(value) == is_bare {
            let message = if is_bare {
                format!(
                    "Field must have selections (field '{name}' returns {value} but has no selections. Did you mean '{name} {{ ... }}'?)"
                )
            } else {
                format!("Selections can't be made on scalars (field '{name}' returns {value})")
            };
            let more = json!({"nodeName": format!("field '{name}'"), "typeName": value});
            return self.refuse(&message, "selectionMismatch", path, at, &more);
        }
        let mut below = Vec::new();
        self.select(&field.selection_set, value, None, path, &mut below);
        let only = only.map(str::to_owned);
        let same = chosen
            .iter_mut()
            .find(|other| other.key == key && other.only == only);
        match same {
            Some(other) if other.name == *name && other.arguments == arguments => {
                join(&mut other.chosen, below);
            }
            Some(_) => {
                let message = format!("Field '{key}' has a field conflict or an argument conflict");
                self.refuse(&message, "fieldConflict", path, at, &json!({"fieldName": key}));
            }
            None => chosen.push(Chosen {
                key,
                name: name.clone(),
                of: value.to_owned(),
                only,
                arguments,
                chosen: below,
                at,
            }),
        }
    }
}

fn join(chosen: &mut Vec<Chosen>, more: Vec<Chosen>) {
    for one in more {
        match chosen
            .iter_mut()
            .find(|other| other.key == one.key && other.only == one.only)
        {
            Some(other) => join(&mut other.chosen, one.chosen),
            None => chosen.push(one),
        }
    }
}

//! What GitHub's types have, read from `schema.graphql`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use graphql_parser::parse_schema;
use graphql_parser::schema::{Definition, Field, Type, TypeDefinition};

/// The part of the schema that is served.
pub(super) static SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::read);

/// A field of a type.
pub(super) struct Known {
    /// The name of its type without brackets and exclamation marks.
    pub(super) of: String,
    /// Argument names, with their types as they are written.
    pub(super) arguments: BTreeMap<String, String>,
}

pub(super) struct Schema {
    /// Fields of objects and interfaces.
    fields: BTreeMap<String, BTreeMap<String, Known>>,
    /// Which objects an interface or a union can be.
    members: BTreeMap<String, Vec<String>>,
    enums: BTreeMap<String, Vec<String>>,
}

impl Schema {
    fn read() -> Self {
        let document = parse_schema::<String>(include_str!("schema.graphql")).expect("it is in this folder");
        let mut schema = Self {
            fields: BTreeMap::new(),
            members: BTreeMap::new(),
            enums: BTreeMap::new(),
        };
        for definition in document.definitions {
            let Definition::TypeDefinition(definition) = definition else {
                continue;
            };
            match definition {
                TypeDefinition::Object(object) => {
                    for interface in object.implements_interfaces {
                        schema
                            .members
                            .entry(interface)
                            .or_default()
                            .push(object.name.clone());
                    }
                    schema.fields.insert(object.name, known(object.fields));
                }
                TypeDefinition::Interface(interface) => {
                    schema.fields.insert(interface.name, known(interface.fields));
                }
                TypeDefinition::Union(union) => {
                    schema.fields.insert(union.name.clone(), BTreeMap::new());
                    schema.members.insert(union.name, union.types);
                }
                TypeDefinition::Enum(words) => {
                    let values = words.values.into_iter().map(|value| value.name).collect();
                    schema.enums.insert(words.name, values);
                }
                TypeDefinition::Scalar(_) | TypeDefinition::InputObject(_) => {}
            }
        }
        schema
    }

    /// A field of a type, `None` when the type does not have it.
    pub(super) fn field(&self, of: &str, name: &str) -> Option<&Known> {
        self.fields.get(of)?.get(name)
    }

    /// Whether values of this type have fields of their own.
    pub(super) fn has_fields(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// Whether a value of the one type can be of the other.
    pub(super) fn can_be(&self, of: &str, other: &str) -> bool {
        let members = |name: &str| self.members.get(name).cloned().unwrap_or_default();
        of == other || members(of).iter().any(|member| member == other) || members(other).contains(&of.into())
    }

    /// Whether it is another type's word for several.
    pub(super) fn is_abstract(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// Panics where a test sets a word that GitHub does not have.
    pub(super) fn insist(&self, of: &str, word: &str) {
        let words = self
            .enums
            .get(of)
            .expect("it is asked for by its name in the schema");
        assert!(
            words.iter().any(|known| known == word),
            "GitHub's {of} has no {word}: {words:?}"
        );
    }
}

fn known(fields: Vec<Field<'_, String>>) -> BTreeMap<String, Known> {
    let one = |field: Field<'_, String>| {
        let arguments = field.arguments.into_iter();
        let arguments = arguments.map(|argument| (argument.name, argument.value_type.to_string()));
        let known = Known {
            of: innermost(&field.field_type).to_owned(),
            arguments: arguments.collect(),
        };
        (field.name, known)
    };
    fields.into_iter().map(one).collect()
}

fn innermost<'a>(of: &'a Type<'_, String>) -> &'a str {
    match of {
        Type::NamedType(name) => name,
        Type::ListType(of) | Type::NonNullType(of) => innermost(of),
    }
}

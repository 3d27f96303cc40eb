//! What a document costs, by GitHub's published formula.
//!
//! A connection is fetched once for each parent that there can be, and the parents of a connection below another are as many
//! as that one's `first` or `last` says. These requests are added up, divided by 100 and rounded; the least is one point.
//! What is really there plays no part.

use serde_json::{Value, json};

use super::document::{Asked, Chosen};

/// The most entries of one page.
const PAGE: i64 = 100;
/// The most nodes that a document may ask for.
const NODES: i64 = 500_000;

/// The price of a document.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Cost {
    pub(super) points: u64,
    pub(super) nodes: i64,
}

/// Works out the price.
///
/// # Errors
/// The entries of `errors` for a connection without a page or with one too large, and for too many nodes.
pub(super) fn cost(asked: &Asked) -> Result<Cost, Vec<Value>> {
    let mut sum = Sum::default();
    sum.add(&asked.chosen, 1, &mut Vec::new());
    if sum.nodes > NODES {
        let message = format!(
            "This query requests up to {} possible nodes which exceeds the maximum limit of 500,000.",
            grouped(sum.nodes)
        );
        sum.errors
            .push(json!({"type": "MAX_NODE_LIMIT_EXCEEDED", "message": message}));
    }
    if !sum.errors.is_empty() {
        return Err(sum.errors);
    }
    Ok(Cost {
        points: ((sum.requests + 50) / 100).max(1),
        nodes: sum.nodes,
    })
}

#[derive(Default)]
struct Sum {
    requests: u64,
    nodes: i64,
    errors: Vec<Value>,
}

impl Sum {
    fn add(&mut self, chosen: &[Chosen], parents: i64, path: &mut Vec<String>) {
        for field in chosen {
            path.push(field.key.clone());
            let mut children = parents;
            if field.is_connection() {
                let size = field.page();
                match size {
                    Some(size @ 0..=PAGE) => children = parents.saturating_mul(size),
                    _ => self.errors.push(refused(field, size, path)),
                }
                self.requests = self.requests.saturating_add(parents.unsigned_abs());
                self.nodes = self.nodes.saturating_add(children);
            }
            self.add(&field.chosen, children, path);
            path.pop();
        }
    }
}

fn refused(field: &Chosen, size: Option<i64>, path: &[String]) -> Value {
    let name = &field.name;
    let (kind, message) = match size {
        None => (
            "MISSING_PAGINATION_BOUNDARIES",
            format!(
                "You must provide a `first` or `last` value to properly paginate the `{name}` connection."
            ),
        ),
        Some(size) => {
            let side = if field.arguments.contains_key("first") {
                "first"
            } else {
                "last"
            };
            let message = if size < 0 {
                format!("`{side}` on the `{name}` connection cannot be less than zero.")
            } else {
                format!(
                    "Requesting {size} records on the `{name}` connection exceeds the `{side}` limit of {PAGE} records."
                )
            };
            ("EXCESSIVE_PAGINATION", message)
        }
    };
    json!({"type": kind, "path": path, "locations": field.locations(), "message": message})
}

/// With commas, as GitHub writes it.
fn grouped(number: i64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

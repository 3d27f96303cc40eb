//! Prints every GraphQL document that can be sent, as JSON: `cargo run -p ao-github --example documents | tests/schema/validate.mjs`.

fn main() {
    let documents: serde_json::Map<String, serde_json::Value> = ao_github::documents()
        .into_iter()
        .map(|(name, text)| (name.to_owned(), text.into()))
        .collect();
    println!("{}", serde_json::Value::from(documents));
}

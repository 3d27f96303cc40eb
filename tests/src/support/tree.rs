//! The tree as the API shows it, compared with itself.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// One look at the tree.
#[derive(Clone, Debug)]
pub struct TreeView {
    nodes: Vec<Value>,
}

impl TreeView {
    /// From the body of `GET /api/v1/tree`.
    pub fn of(body: &Value) -> Self {
        Self {
            nodes: body["nodes"].as_array().cloned().unwrap_or_default(),
        }
    }

    /// Every path, in the tree's order.
    pub fn paths(&self) -> Vec<String> {
        self.nodes
            .iter()
            .map(|node| node["path"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// A node.
    pub fn node(&self, path: &str) -> Option<&Value> {
        self.nodes.iter().find(|node| node["path"] == path)
    }

    /// A node's state; empty when it is not there.
    pub fn state(&self, path: &str) -> String {
        self.node(path)
            .and_then(|node| node["state"].as_str())
            .unwrap_or_default()
            .to_owned()
    }

    /// A node's present incarnation; 0 without one.
    pub fn incarnation(&self, path: &str) -> u64 {
        self.node(path)
            .and_then(|node| node["incarnation"].as_u64())
            .unwrap_or(0)
    }

    /// Whether a child has been silent for longer than one that lives ever is: those beat every half of their heartbeat. (It
    /// is not yet taken for hung: that takes the whole one.)
    pub fn is_silent(&self, path: &str) -> bool {
        let Some(beat) = self.node(path).map(|node| &node["beat"]) else {
            return false;
        };
        match (beat["ageMs"].as_u64(), beat["deadlineMs"].as_u64()) {
            (Some(age), Some(deadline)) => age > deadline / 2 + deadline / 10,
            _ => false,
        }
    }

    /// The number of the newest incarnation of a child that ended in a crash; 0 without one.
    pub fn last_crash(&self, path: &str) -> u64 {
        let exit = self.node(path).map(|node| &node["lastExit"]);
        exit.filter(|exit| exit["class"] == "abnormal")
            .and_then(|exit| exit["incarnation"].as_u64())
            .unwrap_or(0)
    }

    /// For each kind of child the first path of that kind, the root left out. A roster's kind is that of its children.
    pub fn kinds(&self) -> BTreeMap<String, String> {
        let mut kinds = BTreeMap::new();
        for node in &self.nodes {
            let (path, role) = (
                node["path"].as_str().unwrap_or_default(),
                node["type"].as_str().unwrap_or_default(),
            );
            if path.contains('/') {
                let kind = match role {
                    "worker" => node["kind"].as_str().unwrap_or_default().to_owned(),
                    role => format!("{role} {}", node["id"].as_str().unwrap_or_default()),
                };
                kinds.entry(kind).or_insert_with(|| path.to_owned());
            }
        }
        kinds
    }

    /// Who may get a new incarnation when `path` crashes: itself, what is below it, and by its parent's strategy what
    /// was started after it. Nobody else.
    pub fn touched_by(&self, path: &str) -> BTreeSet<String> {
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let rest = self
            .node(parent)
            .is_some_and(|node| node["strategy"] == "rest_for_one");
        let is_sibling = |other: &str| other.rsplit_once('/').is_some_and(|(above, _)| above == parent);
        let (mut roots, mut seen) = (vec![path.to_owned()], false);
        for other in self.paths().into_iter().filter(|other| is_sibling(other)) {
            if seen && rest {
                roots.push(other.clone());
            }
            seen |= other == path;
        }
        let below = |other: &String| {
            roots
                .iter()
                .any(|root| other == root || other.starts_with(&format!("{root}/")))
        };
        self.paths().into_iter().filter(below).collect()
    }

    /// Incarnations by path, of those that `keep` holds for.
    pub fn incarnations(&self, keep: impl Fn(&str) -> bool) -> BTreeMap<String, u64> {
        let paths = self.paths().into_iter().filter(|path| keep(path));
        paths
            .map(|path| (path.clone(), self.incarnation(&path)))
            .collect()
    }
}

//! Scripted children, and what OTP's suite asks of a supervisor.

use std::time::Duration;

pub(crate) use ao_supervisor::testing::{Actor, Init, Log, OnStop, Say, settle, until};
use ao_supervisor::{
    Budget, ChildError, ChildRef, ChildSpec, Dynamic, DynamicRef, Ended, Restart, Root, Shutdown, State,
    Strategy, Supervisor, SupervisorRef, Tree,
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MS: Duration = Duration::from_millis(1);
const LIMIT: Duration = Duration::from_secs(100_000);

pub(crate) fn budget(restarts: u32, seconds: u64) -> Budget {
    Budget::restarts(restarts).per(Duration::from_secs(seconds))
}

/// A running tree with one supervisor at its root.
pub(crate) struct World {
    pub(crate) root: Root,
    pub(crate) tree: Tree,
    pub(crate) sup: SupervisorRef,
}

impl World {
    pub(crate) async fn start(strategy: Strategy, budget: Budget, specs: Vec<ChildSpec>) -> World {
        let mut supervisor = Supervisor::root("top", strategy, budget);
        for spec in specs {
            supervisor = supervisor.child(spec);
        }
        World::of(supervisor).await
    }

    pub(crate) async fn of(supervisor: Supervisor) -> World {
        let root = supervisor.start().await.unwrap();
        let tree = root.tree();
        World {
            sup: tree.supervisor("top").unwrap(),
            root,
            tree,
        }
    }

    /// `[specs, active, supervisors, workers]`.
    pub(crate) fn counts(&self) -> [usize; 4] {
        let counts = self.sup.count_children().unwrap();
        [counts.specs, counts.active, counts.supervisors, counts.workers]
    }

    pub(crate) fn child(&self, id: &str) -> Option<ChildRef> {
        let all = self.sup.which_children().unwrap();
        all.into_iter().find(|info| info.id == id)?.child
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        let all = self.sup.which_children().unwrap();
        all.into_iter().map(|info| info.id).collect()
    }

    /// `running`, `restarting` or `undefined`, in OTP's words.
    pub(crate) fn which(&self, id: &str) -> &'static str {
        let all = self.sup.which_children().unwrap();
        match all.into_iter().find(|info| info.id == id) {
            None => "gone",
            Some(info) if info.child.is_some() => "running",
            Some(info) if info.restarting => "restarting",
            Some(_) => "undefined",
        }
    }

    /// Waits until nothing happens any more that does not need time.
    pub(crate) async fn settle(&self) {
        settle().await;
    }

    pub(crate) async fn until(&self, path: &str, state: State) {
        until(&self.tree, path, state).await;
    }

    pub(crate) async fn ended(&self) -> Ended {
        tokio::time::timeout(LIMIT, self.root.wait())
            .await
            .expect("the tree ends")
    }
}

/// A dynamic supervisor under a root, its children played by actors.
pub(crate) struct Pool {
    pub(crate) root: Root,
    pub(crate) tree: Tree,
    pub(crate) sup: DynamicRef<Actor>,
}

impl Pool {
    pub(crate) async fn start(restart: Restart, budget: Budget) -> Pool {
        Pool::with(restart, budget, Shutdown::After(5 * SECOND), None).await
    }

    pub(crate) async fn with(
        restart: Restart,
        budget: Budget,
        shutdown: Shutdown,
        most: Option<usize>,
    ) -> Pool {
        let mut pool = Dynamic::new("pool", budget, move |_: &str, actor: Actor| {
            actor.spec().restart(restart).shutdown(shutdown)
        });
        if let Some(most) = most {
            pool = pool.max_children(most);
        }
        let sup = pool.handle();
        // One crash of the pool itself ends the tree: that is how a test sees it give up.
        let root = Supervisor::root("top", Strategy::OneForOne, self::budget(0, 3600))
            .child(pool)
            .start()
            .await
            .unwrap();
        Pool {
            tree: root.tree(),
            root,
            sup,
        }
    }

    pub(crate) async fn add(&self, key: &str, actor: &Actor) -> ChildRef {
        let started = self.sup.start_child(key, actor.clone()).await.unwrap();
        started.child.expect("it runs")
    }

    pub(crate) fn counts(&self) -> [usize; 4] {
        let counts = self.sup.count_children().unwrap();
        [counts.specs, counts.active, counts.supervisors, counts.workers]
    }
}

/// The variant's name, to compare errors by.
pub(crate) fn word<T>(result: Result<T, ChildError>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => {
            let text = format!("{error:?}");
            let end = text.find([' ', '(', '{']).unwrap_or(text.len());
            text[..end].to_owned()
        }
    }
}

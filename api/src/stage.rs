//! How far the daemon is: starting, ready or stopping.

use tokio::sync::watch;

/// A daemon's way through its life, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum At {
    Starting,
    Ready,
    Stopping,
}

/// How far the daemon is. Cheap to clone; all clones are one. Goes forward only.
///
/// The daemon calls [`Stage::ready`] when its tree is up and waits for [`Stage::stopping`]; a signal or `POST
/// /shutdown` calls [`Stage::stop`]. From then on writes are refused and event streams end, while reads are
/// answered on.
#[derive(Clone, Debug)]
pub struct Stage(watch::Sender<At>);

impl Stage {
    /// A daemon that is on its way up.
    #[expect(
        clippy::new_without_default,
        reason = "a stage is made once, by the daemon, and not by accident"
    )]
    pub fn new() -> Self {
        Self(watch::Sender::new(At::Starting))
    }

    /// The tree is up. Does nothing once the daemon is stopping.
    pub fn ready(&self) {
        self.forward(At::Ready);
    }

    /// The daemon is to stop. The second call and all later ones do nothing.
    pub fn stop(&self) {
        self.forward(At::Stopping);
    }

    /// Whether the tree is up and nobody has asked to stop.
    pub fn is_ready(&self) -> bool {
        *self.0.borrow() == At::Ready
    }

    /// Whether the daemon is to stop.
    pub fn is_stopping(&self) -> bool {
        *self.0.borrow() == At::Stopping
    }

    /// Resolves when the daemon is to stop, at once if it already is. Cancel safe.
    pub async fn stopping(&self) {
        let mut stage = self.0.subscribe();
        // An error would mean that every sender is gone, and `self` is one.
        let _ = stage.wait_for(|at| *at == At::Stopping).await;
    }

    fn forward(&self, to: At) {
        self.0.send_if_modified(|at| {
            let forward = *at < to;
            *at = (*at).max(to);
            forward
        });
    }
}

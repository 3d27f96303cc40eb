//! `ractor-supervisor`, its static kind.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ao_compare::{
    Hall, Present, Seat, Words, count, crashes, latency, nanos, rate, resident, runtime, started, stopped,
};
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr};
use ractor_supervisor::{
    ChildSpec, Restart, SpawnFn, Supervisor, SupervisorArguments, SupervisorMsg, SupervisorOptions,
    SupervisorStrategy,
};

const OF: &str = "ractor-supervisor";

/// A seat and the way to whoever sits in it.
struct Place {
    seat: Arc<Seat>,
    crashes: bool,
    now: Mutex<Option<ActorRef<()>>>,
}

struct Child;

#[ractor::async_trait]
impl Actor for Child {
    type Msg = ();
    type State = (Arc<Place>, Present);
    type Arguments = Arc<Place>;

    async fn pre_start(
        &self,
        me: ActorRef<()>,
        place: Arc<Place>,
    ) -> Result<Self::State, ActorProcessingErr> {
        *place.now.lock().unwrap_or_else(PoisonError::into_inner) = Some(me);
        let present = place.seat.enter();
        Ok((place, present))
    }

    async fn post_start(&self, _: ActorRef<()>, state: &mut Self::State) -> Result<(), ActorProcessingErr> {
        if state.0.crashes {
            tokio::task::yield_now().await;
            return Err("as asked".into());
        }
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<()>,
        (): (),
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        state.0.seat.falls();
        Err("as asked".into())
    }

    async fn post_stop(&self, _: ActorRef<()>, state: &mut Self::State) -> Result<(), ActorProcessingErr> {
        state.0.seat.hall.polite.fetch_add(1, SeqCst);
        Ok(())
    }
}

async fn launch(above: ActorCell, id: String, place: Arc<Place>) -> Result<ActorCell, SpawnErr> {
    let (child, _) = Supervisor::spawn_linked(id, Child, place, above).await?;
    Ok(child.get_cell())
}

fn begin(
    runtime: &tokio::runtime::Runtime,
    seats: &[Arc<Seat>],
    crashers: usize,
) -> (ActorRef<SupervisorMsg>, Vec<Arc<Place>>) {
    let places: Vec<Arc<Place>> = seats
        .iter()
        .map(|seat| {
            let crashes = crashes(seat.at, seats.len(), crashers);
            Arc::new(Place {
                seat: seat.clone(),
                crashes,
                now: Mutex::new(None),
            })
        })
        .collect();
    let child_specs = places
        .iter()
        .map(|place| {
            let (id, place) = (format!("c{}", place.seat.at), place.clone());
            ChildSpec {
                id,
                restart: Restart::Permanent,
                spawn_fn: SpawnFn::new(move |above, id| launch(above, id, place.clone())),
                backoff_fn: None,
                reset_after: None,
            }
        })
        .collect();
    let options = SupervisorOptions {
        strategy: SupervisorStrategy::OneForOne,
        max_restarts: 1_000_000_000,
        max_window: Duration::from_secs(1),
        reset_after: None,
    };
    let top = runtime.spawn(async move {
        let arguments = SupervisorArguments { child_specs, options };
        let (top, _) = Supervisor::spawn("top".into(), arguments)
            .await
            .expect("it starts");
        top
    });
    (runtime.block_on(top).expect("it starts"), places)
}

fn main() {
    let words = Words::of_process();
    let runtime = runtime();
    match words.word(0) {
        "start" => {
            let n = words.number(1);
            let (hall, _heard) = Hall::new(false);
            let (before, began) = (resident(), nanos());
            let begun = begin(&runtime, &hall.seats(n), 0);
            hall.until_begun(n);
            let took = nanos() - began;
            std::thread::park_timeout(Duration::from_millis(300));
            started(OF, "static", n, took, resident().saturating_sub(before));
            std::mem::forget(begun);
        }
        "latency" => {
            let (n, samples, panics) = (words.number(1), words.number(2), words.word(3) == "panic");
            let (hall, mut heard) = Hall::new(panics);
            let (top, places) = begin(&runtime, &hall.seats(n), 0);
            hall.until_begun(n);
            // It still has to take note of each start.
            runtime
                .block_on(async { ractor::call_t!(top, SupervisorMsg::InspectState, 100_000).map(drop) })
                .expect("it answers");
            let all = (0..samples)
                .map(|k| {
                    let child = places[k * 7919 % n]
                        .now
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .clone();
                    child.expect("it runs").cast(()).expect("it hears");
                    heard.blocking_recv().expect("it comes back")
                })
                .collect();
            latency(OF, "static", n, panics, all);
        }
        "rate" => {
            let (secs, siblings, crashers) = (words.number(1), words.number(2), words.number(3));
            let (hall, _heard) = Hall::new(false);
            let begun = begin(&runtime, &hall.seats(siblings + crashers), crashers);
            hall.until_alive(siblings);
            rate(OF, "static", siblings, crashers, &count(&hall, secs));
            std::mem::forget(begun);
        }
        "shutdown" => {
            let (hall, _heard) = Hall::new(false);
            let n = words.number(1);
            let seats = hall.seats(n);
            let (top, _places) = begin(&runtime, &seats, 0);
            hall.until_begun(n);
            hall.ends_now();
            let began = nanos();
            runtime.block_on(top.stop_and_wait(None, None)).expect("it stops");
            let (took, alive) = (nanos() - began, hall.alive.load(SeqCst));
            stopped(OF, "static", &seats, took, alive);
        }
        other => panic!("no figure is called `{other}`"),
    }
    runtime.shutdown_background();
}

//! The crash rig: fleets publish while processes are killed and put to sleep, and at the end the books must balance.
//!
//! A run is a sequence of *rounds*, each with a pipeline, a fleet and a lake of its own. A round's [`Plan`] is drawn
//! from the seed of the run and the round's number, so that a round can be had again alone. What is drawn is when
//! each process is struck and how; how far it then has come is the machine's affair.
//!
//! A round panics where something is wrong, as tests do; its directory is kept.

mod books;
mod build;
mod events;
mod life;
mod plan;
mod reader;
mod round;
mod world;

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
};

pub use self::{
    build::build,
    events::{Events, Hits},
    plan::{Mode, Plan},
    reader::Reader,
    round::Books,
};
use crate::Site;

/// A round that is over.
pub struct Ended {
    /// What was done to its processes.
    pub events: Events,
    /// What came of it.
    pub outcome: Result<Books, Failure>,
}

/// A promise that was broken, or a rig that could not do its work.
pub struct Failure {
    /// What went wrong.
    pub what: String,
    /// Where everything is that the round has left.
    pub directory: PathBuf,
}

/// Carries out a plan.
pub fn run(plan: &Plan) -> Ended {
    let (site, events) = (Site::new("").with_environment(world::environment(plan)), Events::default());
    let round = AssertUnwindSafe(|| round::run(plan, &site, &events));
    let outcome =
        catch_unwind(round).map_err(|panic| Failure { what: said(&*panic), directory: site.keep() });
    Ended { events, outcome }
}

/// The words of a panic.
fn said(panic: &(dyn Any + Send)) -> String {
    let said = panic.downcast_ref::<&str>().map(|said| (*said).to_owned());
    said.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned())
}

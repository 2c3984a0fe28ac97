//! Brings the data file of an older version of Millstream to the tables of this one.

use rusqlite::{Connection, TransactionBehavior};

use super::open::FORMAT;

/// How the tables of each older format become those of the next. A new file has the tables
/// of `schema.sql`, to which the last step must lead.
const STEPS: [(i32, &str); 2] = [(1, include_str!("migrate/1-2.sql")), (2, include_str!("migrate/2-3.sql"))];

/// Whether this version knows the way from `found`.
pub(super) fn is_known(found: i32) -> bool {
    STEPS.iter().any(|(from, _)| *from == found)
}

/// Goes all steps from `found` in one transaction. Nobody else may have the file open.
///
/// # Errors
/// Those of SQLite; then the file is as it was.
pub(super) fn migrate(connection: &mut Connection, found: i32) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (_, step) in STEPS.iter().filter(|(from, _)| *from >= found) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()
}

//! Whether Home Assistant finds the hosts: one value of the file, off until an admin says otherwise.

use crate::audit;
use crate::change::Changed;
use crate::fleet::Fleet;
use crate::record::meta::{META_HOME_ASSISTANT, Meta};
use crate::record::{AuditAction, AuditTarget};
use crate::refused::{Refused, StoreError};
use crate::request::By;
use crate::store::{META, Reads};

pub(crate) fn is_on(reads: &impl Reads) -> Result<bool, StoreError> {
    match reads.get(&META, &META_HOME_ASSISTANT.to_owned())? {
        None => Ok(false),
        Some(Meta::HomeAssistant(on)) => Ok(on),
        Some(_) => Err(StoreError::Row { table: META.name(), why: "it is of another sort" }),
    }
}

impl Fleet {
    /// Switches discovery by Home Assistant on or off. What is so already is no change.
    pub async fn switch_home_assistant(&self, on: bool, by: By) -> Result<(), Refused> {
        self.write(by, move |op| {
            if is_on(op.tx)? == on {
                return Ok(());
            }
            op.tx.put(&META, &META_HOME_ASSISTANT.to_owned(), &Meta::HomeAssistant(on))?;
            op.tx.effects.changed(Changed::Integrations);
            let detail = if on { "on" } else { "off" };
            Ok(audit::note(op, AuditAction::HomeAssistantSwitched, AuditTarget::Server, detail)?)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Driver, Settings};
    use crate::view::{AuditFilter, Page};
    use schema::Timestamp;
    use std::sync::Arc;

    #[tokio::test]
    async fn it_is_off_until_somebody_switches_it_and_each_switch_is_audited_once() {
        let driver = Driver {
            now: Arc::new(|| Timestamp(1_780_000_000_000)),
            random: Arc::new(|bytes| bytes.fill(7)),
        };
        let fleet = Fleet::in_memory(Settings::for_tests(), driver).unwrap();
        let (mut changes, mut seen) = (fleet.changes(), 0);
        assert!(!fleet.read().unwrap().home_assistant().unwrap());
        for (on, told) in [(false, 0), (true, 1), (true, 1), (false, 2)] {
            fleet.switch_home_assistant(on, By::system()).await.unwrap();
            let state = fleet.read().unwrap();
            assert_eq!(state.home_assistant().unwrap(), on);
            let audit = state.audit(&AuditFilter::default(), &Page::default()).unwrap();
            let switched =
                audit.items.iter().filter(|line| line.action == AuditAction::HomeAssistantSwitched);
            assert_eq!(switched.count(), told);
            let told_now = std::iter::from_fn(|| changes.try_recv().ok());
            seen += told_now.filter(|change| change.what == Changed::Integrations).count();
            assert_eq!(seen, told, "whoever follows hears of each switch, and of nothing else");
        }
    }
}

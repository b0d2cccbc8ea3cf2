//! The words that a field may have, for the document: each list is made from the words themselves.

use fleet::maintenance::{Action, CheckStatus, KINDS};
use fleet::record::{self, Actor};
use fleet::{Day, Reason, Status};
use std::borrow::Cow;
use std::collections::BTreeSet;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// What a repository can be asked for; [`crate::run`] takes these and no other.
pub(crate) const REPO_JOBS: [&str; 6] = ["init", "forget", "prune", "check", "unlock", "stats"];

/// Where a restore may go.
pub(crate) const RESTORE_TARGETS: [&str; 3] = ["new_folder", "folder", "original"];

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident: $words:expr;)+) => {$(
        $(#[$doc])*
        pub(crate) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let words = ObjectBuilder::new().schema_type(Type::String).enum_values(Some($words));
                RefOr::T(Schema::Object(words.build()))
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
        }
    )+};
}

fn actor_kinds() -> [&'static str; 6] {
    let name = String::new;
    let named = [Actor::Operator(name()), Actor::Token(name()), Actor::Schedule(name())];
    let [operator, token, schedule] = named;
    [operator, token, schedule, Actor::System, Actor::Agent, Actor::Link(name())].map(|actor| actor.kind())
}

fn holds() -> BTreeSet<&'static str> {
    record::Hold::ALL.into_iter().map(record::Hold::as_str).collect()
}

words! {
    /// Kinds of jobs.
    JobKind: schema::JobKind::ALL.map(schema::JobKind::as_str);
    /// States of a job.
    JobState: record::JobState::ALL.map(record::JobState::as_str);
    /// Why a job failed or warns.
    Class: schema::Class::ALL.map(schema::Class::as_str);
    /// Credentials of a host: the everyday ones, or those that may delete.
    Slot: schema::Slot::ALL.map(schema::Slot::as_str);
    /// Why nothing of a source group is forgotten.
    Hold: holds();
    /// In which way a backup does not fit in with those before it.
    Unusual: record::Unusual::ALL.map(record::Unusual::as_str);
    /// Why a path brings nothing to a snapshot, or is left out by the agent itself.
    SourceReason: schema::SourceReason::ALL.map(schema::SourceReason::as_str);
    /// Why an agent refuses a job or credentials.
    Refusal: schema::Refusal::ALL.map(schema::Refusal::as_str);
    /// Who caused something.
    ActorKind: actor_kinds();
    /// Who ended a job before it was done.
    EndedBy: record::EndedBy::ALL.map(record::EndedBy::as_str);
    /// What took the agent away that had an open job.
    AgentGone: record::AgentGone::ALL.map(record::AgentGone::as_str);
    /// What something was done to.
    TargetKind: ["server", "host", "job", "account", "incident"];
    /// What an account may do.
    Role: record::Role::ALL.map(record::Role::as_str);
    /// What a token may do; each scope stands for itself.
    Scope: record::Scope::ALL.map(record::Scope::as_str);
    /// How a host stands.
    HostStatus: Status::ALL.map(Status::as_str);
    /// Why a host stands as it does.
    HostReason: Reason::codes();
    /// Why hosts, or the server itself, need somebody.
    IncidentCause: record::Cause::codes();
    /// What a feed is read by.
    FeedKind: record::FeedKind::ALL.map(record::FeedKind::as_str);
    /// How far an incident is.
    IncidentState: fleet::IncidentState::ALL.map(fleet::IncidentState::as_str);
    /// How bad it is.
    Severity: record::Severity::ALL.map(record::Severity::as_str);
    /// How the connection to a mail server is kept from others.
    MailSecurity: record::MailSecurity::ALL.map(record::MailSecurity::as_str);
    /// In which form a webhook tells.
    Watched: record::Watched::ALL.map(record::Watched::as_str);
    WebhookForm: record::WebhookForm::ALL.map(record::WebhookForm::as_str);
    /// Why a message was not taken.
    SendFault: record::SendFault::SAMPLES.map(record::SendFault::code);
    /// Whether a route is used.
    RouteState: record::RouteState::ALL.map(record::RouteState::as_str);
    /// How often a report is sent.
    ReportEvery: ["weekly", "monthly"];
    /// What ended an incident.
    IncidentEnding: record::Ending::ALL.map(record::Ending::as_str);
    /// What a day was like.
    DayWord: Day::ALL.map(Day::as_str);
    /// How the last check stands.
    CheckWord: CheckStatus::ALL.map(CheckStatus::as_str);
    /// Kinds of maintenance.
    MaintenanceKind: KINDS.map(schema::JobKind::as_str);
    /// What is decided of maintenance.
    MaintenanceAction: Action::ALL.map(Action::as_str);
    /// What an entry of a folder is.
    EntryKind: schema::report::EntryKind::ALL.map(schema::report::EntryKind::as_str);
    /// What became of a path between two snapshots.
    ChangeKind: schema::report::ChangeKind::ALL.map(schema::report::ChangeKind::as_str);
    /// Where a restore goes.
    RestoreTargetKind: RESTORE_TARGETS;
    /// What becomes of a file that is there already: restic's `--overwrite`.
    Overwrite: schema::Overwrite::ALL.map(schema::Overwrite::as_str);
    /// What is the matter with a file that a drill has drawn.
    DrillFault: schema::DrillFault::ALL.map(schema::DrillFault::as_str);
    /// How far it is proven that a host can be restored.
    ProofStatus: fleet::ProofStatus::ALL.map(fleet::ProofStatus::as_str);
    /// Who said a line of a log.
    LogStream: ["agent", "out", "err"];
    /// Budgets of a host.
    OverBudgetWord: schema::Over::ALL.map(schema::Over::as_str);
    /// Why two hosts count as being on one repository.
    WhyShared: ["address", "confirmed", "through", "claimed"];
    /// What a repository can be asked for.
    RepoJob: REPO_JOBS;
}
